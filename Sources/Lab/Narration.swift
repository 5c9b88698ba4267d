/// What happens, as it happens. The command line decides how it looks.
package enum Narration: Sendable {
    case stepBegin(number: Int, of: Int, title: String)
    case remark(String)
    /// A command as a person would type it, with its prompt.
    case command(String)
    /// What that command printed.
    case output(String)
    case proved(TourStep.Fact)
    case stepEnd(TourStep)

    package typealias Teller = (Narration) -> Void
}

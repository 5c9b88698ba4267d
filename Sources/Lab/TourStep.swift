/// One step of the tour: what it was about, what it proved, how long it took.
package struct TourStep: Encodable, Sendable {
    package let number: Int
    package let title: String
    package var facts: [Fact] = []
    package var ok = false
    package var durationSeconds = 0.0

    /// Something that was looked at and found as it must be.
    package struct Fact: Encodable, Sendable {
        package let name: String
        package let value: String
    }
}

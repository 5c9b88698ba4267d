/// How a job tells what it is doing. The command line decides what becomes of it.
package struct Reporter: Sendable {
    /// One line for a person: something began, ended or went wrong without ending the job.
    package var note: @Sendable (String) -> Void
    /// How far the job's bulk work is: bytes done, bytes in all where that is known.
    package var progress: @Sendable (Int, Int?) -> Void

    package init(
        note: @escaping @Sendable (String) -> Void, progress: @escaping @Sendable (Int, Int?) -> Void = { _, _ in }
    ) {
        self.note = note
        self.progress = progress
    }
}

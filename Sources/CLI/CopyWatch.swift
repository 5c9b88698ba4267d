import Backup
import Cluster
import PostgresModel
import Storage

/// Shows how much of a server has come to its host, while a step brings it there.
final class CopyWatch {
    private let line: ProgressLine
    private let isOver = Monitor(false)
    private let worker: WorkerThread<Void>

    init(_ step: Plan.Step, _ total: Int, _ hosts: ClusterHosts, _ output: Output) {
        let line = ProgressLine("\(step.host): copied"), isOver = isOver
        self.line = line
        let reporter = line.reporter(output)
        worker = WorkerThread("progress") {
            while isOver.wait(milliseconds: 2000, { $0 ? true : nil }) == nil {
                // What the step itself meets it says itself.
                if let done = try? hosts.copiedBytes(step) { reporter.progress(done, total) }
            }
        }
    }

    func end() {
        isOver.change { $0 = true }
        _ = try? worker.join()
        line.clear()
    }
}

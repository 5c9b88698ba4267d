import Glibc
import PostgresModel
import SystemPackage

/// This same program, started to go on by itself after we have ended.
package enum DetachedProcess {
    /// In a session of its own, so that nobody's signals to a group reach it, and without any of our descriptors: a server's
    /// log would otherwise stay open in it.
    package static func start(_ arguments: [String]) throws {
        var attributes = posix_spawnattr_t()
        var actions = posix_spawn_file_actions_t()
        posix_spawnattr_init(&attributes)
        posix_spawn_file_actions_init(&actions)
        defer {
            posix_spawnattr_destroy(&attributes)
            posix_spawn_file_actions_destroy(&actions)
        }
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSID))
        for descriptor: Int32 in 0...2 { posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0) }
        posix_spawn_file_actions_addclosefrom_np(&actions, 3)
        var words = (["pgark"] + arguments).map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var pid = pid_t()
        let status = posix_spawn(&pid, "/proc/self/exe", &actions, &attributes, &words, environ)
        guard status == 0 else { throw Failure.system("start", FilePath("pgark \(arguments.joined(separator: " "))"), error: status) }
    }
}

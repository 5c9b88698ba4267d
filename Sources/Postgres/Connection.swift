import CLibPQ
import Glibc
package import PostgresModel

/// One connection to a PostgreSQL server, over libpq: SQL, replication commands, COPY.
///
/// Used by one thread at a time. Every wait has a deadline or ends with an interrupt of the process; a lost connection
/// is a `Failure` with the code `server-unreachable`. What the server says (message, detail, hint, SQLSTATE) is kept.
package final class Connection {
    package enum Mode: Sendable { case sql, replication }

    private let handle: OpaquePointer
    /// The row that answers a START_REPLICATION which had nothing to stream.
    var pendingTimelineRow: Rows?
    /// Where we are connected, for messages: without a password.
    package let location: String

    /// False where libpq is not there: an attempt would end the process.
    package static var isPossible: Bool { pgark_has_libpq() != 0 }

    /// Every libpq convention works in `conninfo`: keywords, a URI, a service, and PG* variables for what it leaves out.
    /// `application` is the name the server shows in pg_stat_activity and pg_stat_replication.
    package init(_ conninfo: String, mode: Mode = .sql, application: String, timeoutSeconds: Int = 10) throws {
        try Self.checkSyntax(conninfo)
        // Later keywords win, and those of an expanded dbname count as later: a conninfo may set its own timeout.
        var keywords: [(String, String)] = [
            ("connect_timeout", String(timeoutSeconds)), ("keepalives_idle", "30"), ("keepalives_interval", "10"),
            ("keepalives_count", "3"), ("tcp_user_timeout", "30000"), ("dbname", conninfo), ("application_name", application),
            ("client_encoding", "UTF8"),
        ]
        if mode == .replication { keywords.append(("replication", "true")) }
        let connected = Self.with(keywords) { PQconnectdbParams($0, $1, 1) }
        guard let connected else { throw Failure(.internalError, "could not connect to PostgreSQL: out of memory") }
        handle = connected
        location = Self.location(of: connected)
        // From here on every property is set, so `deinit` runs even where this initialiser throws.
        guard PQstatus(handle) == CONNECTION_OK else { throw Self.connectionFailure(handle, location) }
        // Without this libpq prints notices on our stderr.
        PQsetNoticeProcessor(handle, { _, _ in }, nil)
        // Names are resolved in the catalog only: a tool's connection must not run a tenant's functions.
        if mode == .sql { _ = try query("SELECT set_config('search_path', 'pg_catalog', false)") }
    }

    deinit { PQfinish(handle) }

    /// Whether a server is there at all, whatever it thinks of us.
    package static func isServer(at conninfo: String, timeoutSeconds: Int) -> Bool {
        let answer = with([("connect_timeout", String(timeoutSeconds)), ("dbname", conninfo)]) { PQpingParams($0, $1, 1) }
        return answer == PQPING_OK || answer == PQPING_REJECT
    }

    private typealias Words = UnsafePointer<UnsafePointer<CChar>?>?

    private static func with<Value>(_ keywords: [(String, String)], _ body: (Words, Words) -> Value) -> Value {
        let names = keywords.map { strdup($0.0) } + [nil]
        let values = keywords.map { strdup($0.1) } + [nil]
        defer { (names + values).forEach { free($0) } }
        return names.map { UnsafePointer($0) }.withUnsafeBufferPointer { names in
            values.map { UnsafePointer($0) }.withUnsafeBufferPointer { body(names.baseAddress, $0.baseAddress) }
        }
    }

    /// Where libpq has connected, of several hosts this one: a name, an address, or a directory with a socket.
    package var host: String { PQhost(handle).map { String(cString: $0) } ?? "" }
    package var port: Int { PQport(handle).flatMap { Int(String(cString: $0)) } ?? 5432 }

    package var serverVersion: ServerVersion { ServerVersion(number: Int(PQserverVersion(handle))) }

    /// Closes without the courtesy of a terminate message, so that a server in the middle of a COPY does not wait.
    package func abort() { shutdown(PQsocket(handle), Int32(SHUT_RDWR)) }

    // MARK: SQL and replication commands

    /// Runs one statement and returns its rows. `parameters` are sent apart from the text ($1, $2, …) as text values.
    @discardableResult
    package func query(_ sql: String, _ parameters: [String?] = [], timeoutSeconds: Double = 60) throws -> Rows {
        let sent: Int32
        if parameters.isEmpty {
            sent = PQsendQuery(handle, sql)
        } else {
            let values = parameters.map { $0.flatMap { strdup($0) } }
            defer { values.forEach { free($0) } }
            sent = values.map { UnsafePointer($0) }.withUnsafeBufferPointer {
                PQsendQueryParams(handle, sql, Int32(parameters.count), nil, $0.baseAddress, nil, nil, 0)
            }
        }
        guard sent == 1 else { throw lost() }
        var rows = Rows.empty
        let deadline = Deadline(seconds: timeoutSeconds)
        while let result = try nextResult(deadline) { rows = Rows(result) }
        return rows
    }

    /// Sends a command whose answers are taken one by one with `nextResult` and the COPY functions.
    package func send(_ command: String) throws {
        guard PQsendQuery(handle, command) == 1 else { throw lost() }
    }

    /// The next answer to what was sent, nil after the last. Throws where the server answered with an error.
    package func nextResult(_ deadline: Deadline) throws -> Result? {
        while PQisBusy(handle) == 1 {
            try waitForInput(deadline)
            guard PQconsumeInput(handle) == 1 else { throw lost() }
        }
        guard let pointer = PQgetResult(handle) else { return nil }
        let result = Result(pointer)
        switch PQresultStatus(pointer) {
        case PGRES_FATAL_ERROR, PGRES_BAD_RESPONSE, PGRES_NONFATAL_ERROR:
            let failure = PQstatus(handle) == CONNECTION_OK ? result.failure(location) : lost(result)
            while let rest = PQgetResult(handle) { PQclear(rest) }
            throw failure
        default: return result
        }
    }

    // MARK: COPY

    package enum CopyMessage { case message, nothingYet, end }

    /// Takes the next message of a running COPY and shows it to `body`, whose buffer is valid only there.
    /// `nothingYet` says that the socket is drained.
    package func copyMessage(_ body: (UnsafeRawBufferPointer) throws -> Void) throws -> CopyMessage {
        var pointer: UnsafeMutablePointer<CChar>?
        var count = PQgetCopyData(handle, &pointer, 1)
        if count == 0 {
            guard PQconsumeInput(handle) == 1 else { throw lost() }
            count = PQgetCopyData(handle, &pointer, 1)
        }
        switch count {
        case 0: return .nothingYet
        case -1: return .end
        case -2: throw lost()
        default:
            defer { PQfreemem(pointer) }
            try body(UnsafeRawBufferPointer(start: pointer, count: Int(count)))
            return .message
        }
    }

    /// Sends one message into a running COPY, durable nowhere: it is on its way when this returns.
    package func sendCopyMessage(_ bytes: [UInt8]) throws {
        let sent = bytes.withUnsafeBytes {
            PQputCopyData(handle, $0.baseAddress?.assumingMemoryBound(to: CChar.self), Int32($0.count))
        }
        guard sent == 1, PQflush(handle) == 0 else { throw lost() }
    }

    package func endCopy() throws {
        guard PQputCopyEnd(handle, nil) == 1, PQflush(handle) == 0 else { throw lost() }
    }

    /// Waits until the server sent something, at most `milliseconds`. Returns false where nothing came in that time.
    package func waitForInput(milliseconds: Int) throws -> Bool {
        var descriptor = pollfd(fd: PQsocket(handle), events: Int16(POLLIN), revents: 0)
        let ready = poll(&descriptor, 1, Int32(milliseconds))
        if ready < 0, errno != EINTR {
            throw Failure(.serverUnreachable, "could not wait for PostgreSQL: \(String(cString: strerror(errno)))")
        }
        return ready > 0
    }

    private func waitForInput(_ deadline: Deadline) throws {
        let slice = 500
        while try !waitForInput(milliseconds: min(slice, deadline.millisecondsLeft)) {
            try deadline.check("could not get an answer from PostgreSQL at \(location): none within \(deadline.seconds) s")
        }
    }

    // MARK: Errors

    private func lost(_ result: Result? = nil) -> Failure {
        let text = result.flatMap { $0.field(Field.message) } ?? Self.message(handle)
        return Failure(.serverUnreachable, "could not keep the connection to PostgreSQL at \(location): \(text)")
    }

    private static func message(_ handle: OpaquePointer) -> String {
        let lines = String(cString: PQerrorMessage(handle)).split(whereSeparator: \.isNewline)
        return lines.map { $0.drop(while: \.isWhitespace) }.joined(separator: "; ")
    }

    private static func location(of handle: OpaquePointer) -> String {
        let host = PQhost(handle).map { String(cString: $0) } ?? ""
        let port = PQport(handle).map { String(cString: $0) } ?? ""
        return host.isEmpty ? "port \(port)" : "\(host):\(port)"
    }

    private static func connectionFailure(_ handle: OpaquePointer, _ location: String) -> Failure {
        let text = message(handle)
        let user = PQuser(handle).map { String(cString: $0) } ?? ""
        let rejected = [
            "password authentication failed", "no password supplied", "no pg_hba.conf entry", "authentication failed",
            "role \"", "pg_hba.conf rejects",
        ].contains { text.contains($0) }
        guard rejected else {
            return Failure(
                .serverUnreachable, "could not connect to PostgreSQL at \(location): \(text)",
                hint: "Is the server running, and does it accept connections there? Try: pg_isready -h HOST -p PORT")
        }
        return Failure(
            .authenticationFailed, "could not log in to PostgreSQL at \(location) as \"\(user)\": \(text)",
            hint: "Check the password in the passfile (~/.pgpass, mode 0600) and the server's pg_hba.conf.")
    }

    private static func checkSyntax(_ conninfo: String) throws {
        var error: UnsafeMutablePointer<CChar>?
        let options = PQconninfoParse(conninfo, &error)
        defer {
            PQconninfoFree(options)
            PQfreemem(error)
        }
        guard options == nil else { return }
        // libpq's own words quote a piece of the string, which may be of a secret.
        throw Failure(
            .configuration, "could not use the connection string: it is not a list of keyword=value pairs or a URI",
            hint: "Write it as \"host=HOST user=USER dbname=postgres\" and keep the password in ~/.pgpass.")
    }
}

/// An answer of the server: a row set, a completed command, or the begin of a COPY.
package final class Result {
    fileprivate let handle: OpaquePointer

    fileprivate init(_ handle: OpaquePointer) { self.handle = handle }

    deinit { PQclear(handle) }

    package var beginsCopy: Bool {
        [PGRES_COPY_OUT, PGRES_COPY_IN, PGRES_COPY_BOTH].contains(PQresultStatus(handle))
    }
    package var rows: Rows { Rows(self) }

    fileprivate func field(_ code: Int32) -> String? { PQresultErrorField(handle, code).map { String(cString: $0) } }

    fileprivate func failure(_ location: String) -> Failure {
        let state = field(Field.sqlState) ?? ""
        var details = [field(Field.detail), state.isEmpty ? nil : "SQLSTATE \(state) from \(location)"].compactMap { $0 }
        if let context = field(Field.context) { details.append(context) }
        return ServerFailure.failure(
            message: field(Field.message) ?? "unknown error", state: state, details: details, hint: field(Field.hint))
    }
}

/// The field codes of PQresultErrorField (postgres_ext.h), which Swift does not import.
private enum Field {
    static let sqlState = Int32(UInt8(ascii: "C"))
    static let message = Int32(UInt8(ascii: "M"))
    static let detail = Int32(UInt8(ascii: "D"))
    static let hint = Int32(UInt8(ascii: "H"))
    static let context = Int32(UInt8(ascii: "W"))
}

/// Rows of text values, addressed by column name.
package struct Rows: RandomAccessCollection {
    private let result: Result?

    fileprivate static var empty: Rows { Rows(nil) }

    fileprivate init(_ result: Result?) { self.result = result }

    package var startIndex: Int { 0 }
    package var endIndex: Int { result.map { Int(PQntuples($0.handle)) } ?? 0 }
    package subscript(row: Int) -> Row { Row(rows: self, number: row) }

    package struct Row {
        fileprivate let rows: Rows
        fileprivate let number: Int

        /// The value of a column, nil for NULL and for a column that the server does not have.
        package subscript(column: String) -> String? {
            guard let handle = rows.result?.handle else { return nil }
            let index = PQfnumber(handle, "\"\(column)\"")
            return index < 0 ? nil : self[Int(index)]
        }

        package subscript(column: Int) -> String? {
            guard let handle = rows.result?.handle, column < PQnfields(handle),
                PQgetisnull(handle, Int32(number), Int32(column)) == 0
            else { return nil }
            return String(
                decoding: UnsafeRawBufferPointer(
                    start: PQgetvalue(handle, Int32(number), Int32(column)),
                    count: Int(PQgetlength(handle, Int32(number), Int32(column)))), as: UTF8.self)
        }
    }
}

/// A point in monotonic time by which something must have happened.
package struct Deadline: Sendable {
    package let seconds: Double
    private let end: UInt64

    package init(seconds: Double) {
        self.seconds = seconds
        end = Self.now + UInt64(seconds * 1e9)
    }

    package static var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    package var isOver: Bool { Self.now >= end }
    package var millisecondsLeft: Int { isOver ? 0 : Int((end - Self.now) / 1_000_000) + 1 }

    package func check(_ message: @autoclosure () -> String) throws {
        if isOver { throw Failure(.timedOut, message()) }
        try Interruption.check()
    }
}

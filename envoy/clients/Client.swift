/// A client of an API behind the gate: it refreshes tokens once for all requests that need it, waits where
/// it should, and tells its application once when the session has ended.
import Foundation

/// What an application does about its tokens.
protocol Session: Sendable {
    /// The access token, if there is one.
    func token() async -> String?
    /// Gets a new access token with the refresh token, and keeps it. Throws when there is none to get.
    func refresh() async throws
    /// Drops the tokens and shows the sign-in page. `code` says why, as `session_idle`.
    func ended(code: String) async
}

/// The session has ended: the user has to sign in.
struct SessionEnded: Error {
    let code: String
}

/// What the gate says of a request that it refuses (RFC 9457).
private struct Refusal: Decodable {
    let code: String
    let action: String
    let retry_after: Double?
}

actor Client {
    private let session: any Session
    /// Under way, so that requests that fail together refresh once.
    private var refreshing: Task<Void, any Error>?
    /// How often a request is repeated that is told to wait.
    private let mostWaits = 3

    init(session: any Session) {
        self.session = session
    }

    /// Sends a request with the session's token. Gives back what the API answers.
    func send(_ request: URLRequest) async throws -> (Data, HTTPURLResponse) {
        var waits = 0
        var hasRefreshed = false
        while true {
            var request = request
            let token = await session.token()
            if let token {
                request.setValue("Bearer \(token)", forHTTPHeaderField: "Authorization")
            }
            let (body, response) = try await URLSession.shared.data(for: request)
            guard let reply = response as? HTTPURLResponse else { throw URLError(.badServerResponse) }
            guard let refusal = refusal(of: reply, body) else { return (body, reply) }
            switch refusal.action {
            case "refresh" where !hasRefreshed:
                hasRefreshed = true
                try await refreshOnce(insteadOf: token)
            case "refresh", "sign_in":
                await session.ended(code: refusal.code)
                throw SessionEnded(code: refusal.code)
            case "wait" where waits < mostWaits:
                waits += 1
                try await Task.sleep(for: .seconds(refusal.retry_after ?? 5))
            default:
                return (body, reply)
            }
        }
    }

    /// Signs out here, on the other devices (`others`), or `everywhere`. `false` when it was not done.
    func signOut(at base: URL, scope: String = "session") async throws -> Bool {
        guard let url = URL(string: "/session/sign-out?scope=\(scope)", relativeTo: base) else { return false }
        var request = URLRequest(url: url)
        request.httpMethod = "POST"
        let (_, reply) = try await send(request)
        guard reply.statusCode == 204 else { return false }
        if scope != "others" { await session.ended(code: "signed_out") }
        return true
    }

    /// Refreshes, unless that was done since the request with `token` was sent.
    private func refreshOnce(insteadOf token: String?) async throws {
        if await session.token() != token { return }
        let task = refreshing ?? Task { [session] in try await session.refresh() }
        refreshing = task
        defer { refreshing = nil }
        do {
            try await task.value
        } catch {
            await session.ended(code: "refresh_failed")
            throw SessionEnded(code: "refresh_failed")
        }
    }

    /// `nil` for an answer of the API itself.
    private func refusal(of reply: HTTPURLResponse, _ body: Data) -> Refusal? {
        let type = reply.value(forHTTPHeaderField: "Content-Type") ?? ""
        guard type.hasPrefix("application/problem+json") else { return nil }
        return try? JSONDecoder().decode(Refusal.self, from: body)
    }
}

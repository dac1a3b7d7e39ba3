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
    /// Under way, so that no refresh signs in again meanwhile.
    private var signingOut: Task<Bool, any Error>?
    /// The last token whose end the application was told of.
    private var endedFor: String?
    /// How often a request is repeated that is told to wait.
    private let mostWaits = 3

    init(session: any Session) {
        self.session = session
    }

    /// Sends a request with the session's token. Gives back what the API answers.
    func send(_ request: URLRequest) async throws -> (Data, HTTPURLResponse) {
        try await send(request, signsOut: false)
    }

    private func send(_ request: URLRequest, signsOut: Bool) async throws -> (Data, HTTPURLResponse) {
        var waits = 0
        var hasRenewed = false
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
            case "refresh" where !hasRenewed, "sign_in" where !hasRenewed:
                hasRenewed = true
                try await renew(token, refusal, signsOut: signsOut)
            case "refresh", "sign_in":
                await end(token, refusal.code)
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
        while let earlier = signingOut { _ = try? await earlier.value }
        let task = Task<Bool, any Error> {
            // Here, so that whoever has waited for this task finds it gone.
            defer { signingOut = nil }
            return try await signOut(with: url, endsHere: scope != "others")
        }
        signingOut = task
        return try await task.value
    }

    private func signOut(with url: URL, endsHere: Bool) async throws -> Bool {
        // What a refresh that is under way brings would be kept after the end.
        _ = try? await refreshing?.value
        var request = URLRequest(url: url)
        request.httpMethod = "POST"
        let (_, reply) = try await send(request, signsOut: true)
        guard reply.statusCode == 204 else { return false }
        if endsHere { await session.ended(code: "signed_out") }
        return true
    }

    /// Refreshes, unless that was done since the request with `token` was sent. Where there is nothing to
    /// refresh, the application is told once, and not of a session that it has begun since.
    private func renew(_ token: String?, _ refusal: Refusal, signsOut: Bool) async throws {
        // A refresh that is under way may have had this token revoked, where tokens are rotated.
        if refusal.action == "sign_in" { _ = try? await refreshing?.value }
        var now = await session.token()
        // A sign-out may have begun at any suspension, and no refresh may begin during one but its own.
        while !signsOut, let signingOut {
            _ = try? await signingOut.value
            now = await session.token()
        }
        if now == nil && token != nil { throw SessionEnded(code: refusal.code) }
        if now != token { return }
        guard refusal.action == "refresh", token != nil else {
            await end(token, refusal.code)
            throw SessionEnded(code: refusal.code)
        }
        let task = refreshing ?? Task { [session] in try await session.refresh() }
        refreshing = task
        // A later one may be under way by then, which is not to be forgotten.
        defer { if refreshing == task { refreshing = nil } }
        do {
            try await task.value
        } catch {
            await end(token, "refresh_failed")
            throw SessionEnded(code: "refresh_failed")
        }
    }

    /// Tells the application that the session of this token has ended: once, and not where it has another one
    /// by now.
    private func end(_ token: String?, _ code: String) async {
        // Before the first suspension, at which other requests with this token go on.
        if let token {
            if endedFor == token { return }
            endedFor = token
        }
        if await session.token() == token { await session.ended(code: code) }
    }

    /// `nil` for an answer of the API itself.
    private func refusal(of reply: HTTPURLResponse, _ body: Data) -> Refusal? {
        let type = reply.value(forHTTPHeaderField: "Content-Type") ?? ""
        guard type.hasPrefix("application/problem+json") else { return nil }
        return try? JSONDecoder().decode(Refusal.self, from: body)
    }
}

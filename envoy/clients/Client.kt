/**
 * A client of an API behind the gate: it refreshes tokens once for all requests that need it, waits where it
 * should, and tells its application once when the session has ended. Java's own HTTP client; no library.
 */
import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpRequest
import java.net.http.HttpResponse

/** What an application does about its tokens. */
interface Session {
    /** The access token, if there is one. */
    fun token(): String?

    /** Gets a new access token with the refresh token, and keeps it; `false` when there is none to get. */
    fun refresh(): Boolean

    /** Drops the tokens and shows the sign-in page. `code` says why, as `session_idle`. */
    fun ended(code: String)
}

/** The session has ended: the user has to sign in. */
class SessionEnded(val code: String) : Exception("the session has ended: $code")

/** What the gate says of a request that it refuses (RFC 9457). */
class Refusal(val code: String, val action: String, val retryAfter: Long)

class Client(private val session: Session, private val http: HttpClient = HttpClient.newHttpClient()) {
    /** Held while tokens change. */
    private val renewing = Any()

    /** Sends a request with the session's token. Gives back what the API answers. */
    fun send(url: URI, method: String = "GET", body: String = ""): HttpResponse<String> {
        var waits = 0
        var hasRenewed = false
        while (true) {
            val token = session.token()
            val request = HttpRequest.newBuilder(url).method(method, HttpRequest.BodyPublishers.ofString(body))
            if (token != null) request.header("Authorization", "Bearer $token")
            val reply = http.send(request.build(), HttpResponse.BodyHandlers.ofString())
            val refusal = refusalOf(reply) ?: return reply
            when (refusal.action) {
                "refresh", "sign_in" -> {
                    if (hasRenewed) end(token, refusal.code)
                    renew(token, refusal)
                    hasRenewed = true
                }
                "wait" -> {
                    if (waits == MOST_WAITS) return reply
                    waits += 1
                    Thread.sleep(refusal.retryAfter * 1000)
                }
                else -> return reply
            }
        }
    }

    /** Signs out here, on the other devices (`others`), or `everywhere`. `false` when it was not done. */
    fun signOut(base: URI, scope: String = "session"): Boolean =
        // No other thread refreshes meanwhile, which would sign in again. This one may.
        synchronized(renewing) {
            val done = send(base.resolve("/session/sign-out?scope=$scope"), "POST").statusCode() == 204
            if (done && scope != "others") session.ended("signed_out")
            done
        }

    private fun end(token: String?, code: String): Nothing {
        synchronized(renewing) { if (session.token() == token) session.ended(code) }
        throw SessionEnded(code)
    }

    /**
     * Refreshes, unless another thread has since the request with `token` was sent. Where there is nothing to
     * refresh, the application is told once, and not of a session that it has begun since.
     */
    private fun renew(token: String?, refusal: Refusal) {
        synchronized(renewing) {
            val now = session.token()
            if (now == token) {
                if (refusal.action == "refresh" && token != null && session.refresh()) return
                session.ended(refusal.code)
                throw SessionEnded(refusal.code)
            }
            if (now == null) throw SessionEnded(refusal.code)
        }
    }

    /** `null` for an answer of the API itself. */
    private fun refusalOf(reply: HttpResponse<String>): Refusal? {
        val type = reply.headers().firstValue("content-type").orElse("")
        if (!type.startsWith("application/problem+json")) return null
        // An application has a JSON library; these members need none.
        val text = { name: String -> Regex("\"$name\":\"([a-z_]+)\"").find(reply.body())?.groupValues?.get(1) }
        val retryAfter = reply.headers().firstValue("retry-after").orElse("").toLongOrNull() ?: 5
        return Refusal(text("code") ?: return null, text("action") ?: return null, retryAfter)
    }

    private companion object {
        /** How often a request is repeated that is told to wait. */
        const val MOST_WAITS = 3
    }
}

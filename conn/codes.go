package conn

// CloseCode says why a WebSocket was closed.
type CloseCode uint16

// The codes; CloseCodes tells what a client does on each.
const (
	CloseNormal       CloseCode = 1000
	CloseProtocol     CloseCode = 1002
	CloseNotText      CloseCode = 1003
	CloseNotUTF8      CloseCode = 1007
	CloseTooLarge     CloseCode = 1009
	CloseInternal     CloseCode = 1011
	CloseRestart      CloseCode = 1012
	CloseBusy         CloseCode = 1013
	CloseUnauthorized CloseCode = 4001
	CloseForbidden    CloseCode = 4003
	CloseSlow         CloseCode = 4008
	CloseOverloaded   CloseCode = 4029
)

// CloseEntry is one row of CloseCodes.
type CloseEntry struct {
	Code    CloseCode
	Reason  string // what the close frame says
	Meaning string
	Client  string // what a client does
}

// CloseCodes lists every code that the hub sends. A code that is not in it (1006, or none) is a lost
// connection: reconnect with backoff.
var CloseCodes = []CloseEntry{
	{CloseNormal, "bye", "The client asked for it.", "Nothing."},
	{CloseProtocol, "protocol error", "A frame broke RFC 6455.", "Give up: the client has a bug."},
	{CloseNotText, "text frames only", "The client sent a binary message.", "Give up: the client has a bug."},
	{CloseNotUTF8, "not UTF-8", "A text message was not UTF-8.", "Give up: the client has a bug."},
	{CloseTooLarge, "message too large", "A message was over MaxFrame.", "Send less, or use HTTP; reconnect."},
	{CloseInternal, "internal error", "A fault of the hub's own.", "Reconnect with backoff."},
	{CloseRestart, "restart", "The hub drains; `closing` came before.", "Reconnect after `reconnect.after` milliseconds, resubscribe from the last offset."},
	{CloseBusy, "busy", "More clients come than `ConnectRate` lets in; `closing` came before, and nothing was begun.", "Reconnect after `reconnect.after` milliseconds, resubscribe from the last offset."},
	{CloseUnauthorized, "unauthorized", "No `auth` in time, a key or token the hub does not know, or one that was revoked or has run out.", "Get a new token, then reconnect; without one, give up."},
	{CloseForbidden, "forbidden", "The tenant does not allow pages of this origin, or the key belongs to another tenant than was named.", "Give up."},
	{CloseSlow, "slow consumer", "The client did not read what it asked for.", "Reconnect, resubscribe from the last offset."},
	{CloseOverloaded, "too many connections", "The tenant, or the token's subject, has as many connections as it may.", "Reconnect with backoff."},
}

// reason is what the close frame says for code.
func (code CloseCode) reason() string {
	for _, e := range CloseCodes {
		if e.Code == code {
			return e.Reason
		}
	}
	return ""
}

// Package fault is the one table of what can go wrong in a way a user sees. A Fault has a stable
// code, a detail that says what to do, and a cause that only the operator's log shows. conn maps
// codes to HTTP and JSON-RPC; docs/errors.md and the SDK list the same codes, and a test holds the
// three equal. The package imports nothing of livefn, so any part may use it.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Code names a kind of fault. Codes are part of the API: never renamed, never reused.
type Code string

// The codes. Table says what each means.
const (
	Unauthorized          Code = "unauthorized"
	Forbidden             Code = "forbidden"
	NotFound              Code = "not_found"
	InvalidRequest        Code = "invalid_request"
	PayloadTooLarge       Code = "payload_too_large"
	Conflict              Code = "conflict"
	RateLimited           Code = "rate_limited"
	Overloaded            Code = "overloaded"
	InstallFailed         Code = "install_failed"
	VersionBroken         Code = "version_broken"
	FunctionError         Code = "function_error"
	ResultNotSerializable Code = "result_not_serializable"
	Timeout               Code = "timeout"
	Cancelled             Code = "cancelled"
	BridgeLost            Code = "bridge_lost"
	Stuck                 Code = "stuck"
	OutOfMemory           Code = "out_of_memory"
	Drained               Code = "drained"
	StorageUnavailable    Code = "storage_unavailable"
	Internal              Code = "internal"
)

// Entry is one row of Table.
type Entry struct {
	Code    Code
	Title   string // short and fixed: the problem document's title
	Meaning string // what happened and what to do: a row of docs/errors.md
}

// Table lists every code once.
var Table = []Entry{
	{Unauthorized, "Not signed in", "No key or token was sent, or the hub does not know it, or it was revoked or has run out. Send `Authorization: Bearer <key>`."},
	{Forbidden, "Not allowed", "The key or token is valid but may not do this; `detail` names the scope that a token lacks. Use one that may."},
	{NotFound, "Not found", "There is no such function, version, execution, stream or route for this tenant."},
	{InvalidRequest, "Invalid request", "The request does not have the documented shape; `detail` names the place. Do not repeat it unchanged."},
	{PayloadTooLarge, "Payload too large", "A body, frame, event or result is over its limit; `detail` names the limit. Send less, or raise the limit."},
	{Conflict, "Conflict", "The execution, function or key is not in a state that allows this; `detail` says which state it is in."},
	{RateLimited, "Rate limited", "The tenant sends faster than its limit. Wait for `Retry-After`."},
	{Overloaded, "Overloaded", "The hub or the tenant's bridges have no room for this now. Wait for `Retry-After` and repeat."},
	{InstallFailed, "Install failed", "The version's dependencies could not be installed; its log says why."},
	{VersionBroken, "Version broken", "The version could not be loaded (a syntax error, no export, an export that is not a function, a missing package)."},
	{FunctionError, "Function error", "The function threw, or an exception escaped from it; message, name and stack are the function's own."},
	{ResultNotSerializable, "Result not serializable", "The function's result has no JSON form (a cycle, a BigInt). Return JSON, or bytes."},
	{Timeout, "Timeout", "The function's or the caller's time limit passed before the answer."},
	{Cancelled, "Cancelled", "Somebody cancelled the execution."},
	{BridgeLost, "Bridge lost", "The Node process that ran the call died. A call may be repeated if its function allows it; a durable execution repeats by itself."},
	{Stuck, "Stuck", "The bridge's event loop stopped turning and the hub ended it. Look for an endless synchronous loop."},
	{OutOfMemory, "Out of memory", "The bridge passed its memory limit."},
	{Drained, "Drained", "The hub is shutting down and had to end this call. Repeat it elsewhere or later."},
	{StorageUnavailable, "Storage unavailable", "The hub cannot write to its store now; nothing was accepted. Calls go on working."},
	{Internal, "Internal error", "A fault of the hub's own; its log has the cause."},
}

// Fault is an error that a user may see.
type Fault struct {
	Code       Code
	Detail     string        // for the user: what happened and what to do
	Execution  string        // the execution it belongs to, if any
	RetryAfter time.Duration // 0: unsaid
	Cause      error         // for the operator's log; never sent
}

// New makes a fault; format and args give its detail.
func New(code Code, format string, args ...any) *Fault {
	return &Fault{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Because makes a fault that keeps cause for the operator's log.
func Because(cause error, code Code, format string, args ...any) *Fault {
	return &Fault{Code: code, Detail: fmt.Sprintf(format, args...), Cause: cause}
}

func (f *Fault) Error() string {
	if f.Cause != nil {
		return fmt.Sprintf("%s: %s: %v", f.Code, f.Detail, f.Cause)
	}
	return fmt.Sprintf("%s: %s", f.Code, f.Detail)
}

// Unwrap gives the cause.
func (f *Fault) Unwrap() error { return f.Cause }

// From gives err as a Fault: itself if it is or wraps one, else Internal with err as the cause.
func From(err error) *Fault {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	return &Fault{Code: Internal, Detail: "The hub could not do this; its log has the cause.", Cause: err}
}

// Is reports whether err is or wraps a Fault with this code.
func Is(err error, code Code) bool {
	f, ok := errors.AsType[*Fault](err)
	return ok && f.Code == code
}

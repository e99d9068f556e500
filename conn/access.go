package conn

import (
	"strings"

	"github.com/livefn/livefn/hub"
	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/pattern"
)

// who may use a route of HTTP or a method of WebSockets.
type who uint8

const (
	anyone   who = iota + 1 // without signing in, or the handler sees to it
	signedIn                // also an operator who acts as no tenant
	holder                  // a tenant's key, or a token with the scope
	keyOnly                 // a tenant's key: no token, whatever its scopes
	anyKey                  // the same, or the operator's who acts as no tenant
	operator                // the operator's key
)

// rule is a row of rules.
type rule struct {
	who   who
	scope string // what a token needs: invoke, subscribe, publish or events, for what on names; else a right
	on    string // the part of the path, or the parameter, that names the function, stream or execution
}

// rules says of every route and of every method who may use it: the one place that does. What has no row can't
// be used. Whoever has a right to an execution by executions:own has it to those alone that it started.
var rules = map[string]rule{
	"POST /v1/invoke/{function}": {holder, "invoke", "function"},

	"GET /v1/executions":                {holder, "executions:own", ""}, // of which the list is
	"GET /v1/executions/{id}":           {holder, "executions:read", "id"},
	"POST /v1/executions/{id}/pause":    {holder, "executions:write", "id"},
	"POST /v1/executions/{id}/resume":   {holder, "executions:write", "id"},
	"POST /v1/executions/{id}/cancel":   {holder, "executions:write", "id"},
	"POST /v1/executions/{id}/retry":    {holder, "executions:write", "id"},
	"POST /v1/executions/{id}/events":   {holder, "executions:write", "id"},
	"GET /v1/executions/{id}/events":    {holder, "events", "id"},
	"POST /v1/executions/pause":         {holder, "executions:write", ""},
	"POST /v1/executions/resume":        {holder, "executions:write", ""},
	"POST /v1/executions/cancel":        {holder, "executions:write", ""},
	"GET /v1/streams/{pattern}/events":  {holder, "subscribe", "pattern"},
	"POST /v1/streams/{stream}/events":  {holder, "publish", "stream"},
	"PUT /v1/streams/{stream}":          {holder, "streams:write", ""},
	"GET /v1/streams/{stream}":          {holder, "streams:read", ""},
	"DELETE /v1/streams/{stream}":       {holder, "streams:write", ""},
	"GET /v1/functions":                 {holder, "functions:read", ""},
	"PUT /v1/functions/{function}":      {holder, "functions:write", ""},
	"GET /v1/functions/{function}":      {holder, "functions:read", ""},
	"DELETE /v1/functions/{function}":   {holder, "functions:write", ""},
	"GET /v1/triggers":                  {holder, "triggers:read", ""},
	"PUT /v1/triggers/{trigger}":        {holder, "triggers:write", ""},
	"GET /v1/triggers/{trigger}":        {holder, "triggers:read", ""},
	"DELETE /v1/triggers/{trigger}":     {holder, "triggers:write", ""},
	"POST /v1/triggers/{trigger}/run":   {holder, "triggers:write", ""},
	"POST /v1/triggers/{trigger}/pause": {holder, "triggers:write", ""},

	"POST /v1/triggers/{trigger}/resume":                     {holder, "triggers:write", ""},
	"POST /v1/functions/{function}/pause":                    {holder, "executions:write", ""},
	"POST /v1/functions/{function}/resume":                   {holder, "executions:write", ""},
	"POST /v1/functions/{function}/cancel":                   {holder, "executions:write", ""},
	"GET /v1/functions/{function}/aliases":                   {holder, "functions:read", ""},
	"PUT /v1/functions/{function}/aliases/{alias}":           {holder, "functions:write", ""},
	"GET /v1/functions/{function}/aliases/{alias}":           {holder, "functions:read", ""},
	"DELETE /v1/functions/{function}/aliases/{alias}":        {holder, "functions:write", ""},
	"POST /v1/functions/{function}/aliases/{alias}/rollback": {holder, "functions:write", ""},

	"GET /v1/functions/{function}/versions":              {holder, "functions:read", ""},
	"GET /v1/functions/{function}/versions/{version}":    {holder, "functions:read", ""},
	"DELETE /v1/functions/{function}/versions/{version}": {holder, "functions:write", ""},
	"GET /v1/packages":                             {keyOnly, "", ""},
	"PUT /v1/packages":                             {keyOnly, "", ""},
	"PATCH /v1/packages":                           {keyOnly, "", ""},
	"GET /v1/bridges":                              {anyKey, "", ""},
	"GET /v1/limits":                               {keyOnly, "", ""},
	"POST /v1/tokens":                              {keyOnly, "", ""},
	"POST /v1/tokens/revoke":                       {keyOnly, "", ""},
	"GET /v1/tokens/keys":                          {keyOnly, "", ""},
	"POST /v1/tokens/keys":                         {keyOnly, "", ""},
	"DELETE /v1/tokens/keys/{kid}":                 {keyOnly, "", ""},
	"GET /v1/origins":                              {keyOnly, "", ""},
	"PUT /v1/origins":                              {keyOnly, "", ""},
	"DELETE /v1/origins":                           {keyOnly, "", ""},
	"POST /v1/admin/tenants":                       {operator, "", ""},
	"GET /v1/admin/tenants":                        {operator, "", ""},
	"GET /v1/admin/tenants/{tenant}":               {operator, "", ""},
	"DELETE /v1/admin/tenants/{tenant}":            {operator, "", ""},
	"POST /v1/admin/tenants/{tenant}/keys":         {operator, "", ""},
	"GET /v1/admin/tenants/{tenant}/keys":          {operator, "", ""},
	"DELETE /v1/admin/tenants/{tenant}/keys/{key}": {operator, "", ""},
	"GET /v1/admin/tenants/{tenant}/limits":        {operator, "", ""},
	"PUT /v1/admin/tenants/{tenant}/limits":        {operator, "", ""},
	"GET /v1/admin/tenants/{tenant}/packages":      {operator, "", ""},
	"PUT /v1/admin/tenants/{tenant}/packages":      {operator, "", ""},
	"PATCH /v1/admin/tenants/{tenant}/packages":    {operator, "", ""},
	"POST /v1/admin/drain":                         {operator, "", ""},
	"POST /v1/admin/backup":                        {operator, "", ""},
	"ANY /t/{tenant}/{function}/{…}":               {anyone, "", ""}, // public functions
	"GET /v1/ws":                                   {anyone, "", ""}, // signs in by itself
	"GET /healthz":                                 {anyone, "", ""},
	"GET /metrics":                                 {operator, "", ""},
	"GET /openapi.yaml":                            {anyone, "", ""},
	"GET /readyz":                                  {anyone, "", ""},
	"GET /":                                        {anyone, "", ""},
	"GET /dashboard/{…}":                           {anyone, "", ""},
	"GET /sdk/{…}":                                 {anyone, "", ""},

	"WS invoke":      {holder, "invoke", "function"},
	"WS start":       {holder, "invoke", "function"},
	"WS get":         {holder, "executions:read", "execution"},
	"WS list":        {holder, "executions:own", ""},
	"WS pause":       {holder, "executions:write", "execution"},
	"WS resume":      {holder, "executions:write", "execution"},
	"WS cancel":      {holder, "executions:write", "execution"},
	"WS retry":       {holder, "executions:write", "execution"},
	"WS send":        {holder, "executions:write", "execution"},
	"WS subscribe":   {holder, "subscribe", "stream"},
	"WS unsubscribe": {holder, "", ""}, // what it subscribed to itself
	"WS publish":     {holder, "publish", "stream"},
	"WS presence":    {holder, "subscribe", "stream"},
	"WS ping":        {signedIn, "", ""},
	"WS auth":        {anyone, "", ""},
}

var (
	errNotAdmin  = fault.New(fault.Forbidden, "Only the admin key may do this.")
	errKeyOnly   = fault.New(fault.Forbidden, "A token may not do this, whatever its scopes; the tenant's key may.")
	errNoRule    = fault.New(fault.Internal, "The hub does not know who may do this.")
	invokeRule   = rules["POST /v1/invoke/{function}"]
	watchRule    = rules["WS subscribe"]
	ownExecution = "execution."
)

// allow says whether c may do what a rule is about, to target.
func (s *Server) allow(c *Caller, r rule, target string) error {
	switch {
	case r.who == anyone, r.who == signedIn, r.who == operator && c.Admin:
		return nil
	case r.who == operator:
		return errNotAdmin
	case r.who != holder && r.who != keyOnly && r.who != anyKey:
		return errNoRule
	case c.Tenant == nil && r.who != anyKey:
		return errNoTenant
	case c.Token == nil, r.who == holder && r.scope == "":
		return nil
	case r.who != holder:
		return errKeyOnly
	}
	return s.allowToken(c, r, target)
}

// allowToken is allow for tokens.
func (s *Server) allowToken(c *Caller, r rule, target string) error {
	scopes := c.Token.Scopes
	switch r.scope {
	case "invoke":
		if name, _, _ := strings.Cut(target, "@"); !scopes.Invoke(target) {
			return lacks("invoke:" + name)
		}
		return nil
	case "publish":
		if !scopes.Publish(target) {
			return lacks("publish:" + target)
		}
		return nil
	case "subscribe":
		switch id, isExecution := strings.CutPrefix(target, ownExecution); {
		case scopes.Subscribe(target):
			return nil
		case isExecution && scopes.Has("executions:read") && pattern.Covers("execution.*", target):
			return nil
		case isExecution && pattern.IsToken(id) && c.mayOwn():
			return s.owns(c, id)
		}
		return lacks("subscribe:" + target)
	case "executions:own":
		if !c.mayOwn() && !scopes.Has("executions:read") {
			return lacks("executions:own or executions:read")
		}
		return nil
	case "events": // of an execution: for its record, with arguments and result, subscribing is not enough
		if scopes.Subscribe(ownExecution + target) {
			return nil
		}
		r.scope = "executions:read"
	}
	switch {
	case scopes.Has(r.scope):
		return nil
	case target != "" && c.mayOwn(): // of the rest only executions are named
		return s.owns(c, target)
	case target != "":
		return lacks("executions:own or " + r.scope)
	}
	return lacks(r.scope)
}

func lacks(scope string) error {
	return fault.New(fault.Forbidden, "The token lacks the scope %.300s.", strings.Clone(scope))
}

// mayOwn says whether c is a token that has a right to what its subject started.
func (c *Caller) mayOwn() bool { return c.Token.Subject != "" && c.Token.Scopes.Has("executions:own") }

// owns says whether c's subject itself started an execution. Others are not there for it: it is not told apart
// whether they exist.
func (s *Server) owns(c *Caller, id string) error {
	v, err := s.hub.Execution(c.Tenant, id)
	if err == nil && (v.Caller() != c.Token.Subject || v.Parent() != "") {
		err = hub.UnknownExecution(strings.Clone(id))
	}
	return err
}

// only gives the subject whose executions alone c may see; "": it may see all.
func (c *Caller) only() string {
	if c.Token == nil || c.Token.Scopes.Has("executions:read") {
		return ""
	}
	return c.Token.Subject // not empty: see allowToken
}

// mayChoose says whether c may have an execution go on with another version: not by executions:own, as that
// version may be one that it may not call.
func (c *Caller) mayChoose(version int) error {
	if version == 0 || c.Token == nil || c.Token.Scopes.Has("executions:write") {
		return nil
	}
	return lacks("executions:write, which another version needs")
}

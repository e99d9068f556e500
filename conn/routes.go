package conn

import (
	"bytes"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/livefn/livefn/internal/fault"
)

// handler answers a request; args are the path's parts that stand in braces in the table. What it
// returns becomes a problem document.
type handler func(ctx *fasthttp.RequestCtx, args []string) error

// route is one row of the table. The last part of a path may be {…}: all that is left, if anything.
type route struct {
	method string
	parts  []string
	handle handler
	rule   rule
}

// table is every path there is, but for the hot path (invoke.go), which comes first. Who may use it says rules
// (access.go). What is here is in public/openapi.yaml too.
func (s *Server) table() []route {
	var rs []route
	on := func(method, path string, h handler) {
		r, known := rules[method+" "+path]
		if !known {
			r = rules["ANY "+path]
		}
		rs = append(rs, route{method, strings.Split(path, "/")[1:], h, r})
	}
	on("POST", "/v1/invoke/{function}", nil) // handle has it

	on("GET", "/v1/executions", s.listExecutions)
	on("GET", "/v1/executions/{id}", s.getExecution)
	on("POST", "/v1/executions/{id}/pause", s.pauseExecution)
	on("POST", "/v1/executions/{id}/resume", s.resumeExecution)
	on("POST", "/v1/executions/{id}/cancel", s.cancelExecution)
	on("POST", "/v1/executions/{id}/retry", s.retryExecution)
	on("POST", "/v1/executions/pause", s.all("pausing", s.hub.PauseAll))
	on("POST", "/v1/executions/resume", s.all("resumed", s.hub.ResumeAll))
	on("POST", "/v1/executions/cancel", s.all("cancelled", s.hub.CancelAll))
	on("POST", "/v1/executions/{id}/events", s.sendEvent)
	on("GET", "/v1/executions/{id}/events", s.executionEvents)
	on("GET", "/v1/streams/{pattern}/events", s.streamEvents)
	on("POST", "/v1/streams/{stream}/events", s.publishEvents)
	on("PUT", "/v1/streams/{stream}", s.setStream)
	on("GET", "/v1/streams/{stream}", s.getStream)
	on("DELETE", "/v1/streams/{stream}", s.deleteStream)

	on("GET", "/v1/functions", s.listFunctions)
	on("PUT", "/v1/functions/{function}", s.publish)
	on("GET", "/v1/functions/{function}", s.getFunction)
	on("DELETE", "/v1/functions/{function}", s.deleteFunction)
	on("POST", "/v1/functions/{function}/pause", s.all("pausing", s.hub.PauseAll))
	on("POST", "/v1/functions/{function}/resume", s.all("resumed", s.hub.ResumeAll))
	on("POST", "/v1/functions/{function}/cancel", s.all("cancelled", s.hub.CancelAll))
	on("GET", "/v1/functions/{function}/versions", s.listVersions)
	on("GET", "/v1/functions/{function}/versions/{version}", s.getVersion)
	on("DELETE", "/v1/functions/{function}/versions/{version}", s.deleteVersion)
	on("GET", "/v1/functions/{function}/aliases", s.listAliases)
	on("PUT", "/v1/functions/{function}/aliases/{alias}", s.setAlias)
	on("GET", "/v1/functions/{function}/aliases/{alias}", s.getAlias)
	on("DELETE", "/v1/functions/{function}/aliases/{alias}", s.deleteAlias)
	on("POST", "/v1/functions/{function}/aliases/{alias}/rollback", s.rollbackAlias)

	on("GET", "/v1/limits", s.getLimits)
	on("GET", "/v1/bridges", s.listBridges)

	on("POST", "/v1/tokens", s.createToken)
	on("POST", "/v1/tokens/revoke", s.revokeTokens)
	on("GET", "/v1/tokens/keys", s.listTokenKeys)
	on("POST", "/v1/tokens/keys", s.addTokenKey)
	on("DELETE", "/v1/tokens/keys/{kid}", s.deleteTokenKey)
	on("GET", "/v1/origins", s.getOrigins)
	on("PUT", "/v1/origins", s.setOrigins)
	on("DELETE", "/v1/origins", s.deleteOrigins)

	on("GET", "/v1/triggers", s.listTriggers)
	on("PUT", "/v1/triggers/{trigger}", s.setTrigger)
	on("GET", "/v1/triggers/{trigger}", s.getTrigger)
	on("DELETE", "/v1/triggers/{trigger}", s.deleteTrigger)
	on("POST", "/v1/triggers/{trigger}/run", s.runTrigger)
	on("POST", "/v1/triggers/{trigger}/pause", s.pauseTrigger(true))
	on("POST", "/v1/triggers/{trigger}/resume", s.pauseTrigger(false))

	on("POST", "/v1/admin/tenants", s.createTenant)
	on("GET", "/v1/admin/tenants", s.listTenants)
	on("GET", "/v1/admin/tenants/{tenant}", s.getTenant)
	on("DELETE", "/v1/admin/tenants/{tenant}", s.deleteTenant)
	on("POST", "/v1/admin/tenants/{tenant}/keys", s.createKey)
	on("GET", "/v1/admin/tenants/{tenant}/keys", s.listKeys)
	on("DELETE", "/v1/admin/tenants/{tenant}/keys/{key}", s.deleteKey)

	on("GET", "/v1/admin/tenants/{tenant}/limits", s.getTenantLimits)
	on("PUT", "/v1/admin/tenants/{tenant}/limits", s.setTenantLimits)
	on("GET", "/v1/admin/tenants/{tenant}/packages", s.getTenantPackages)
	on("PUT", "/v1/admin/tenants/{tenant}/packages", s.setTenantPackages)
	on("PATCH", "/v1/admin/tenants/{tenant}/packages", s.patchTenantPackages)
	on("GET", "/v1/packages", s.getPackages)
	on("PUT", "/v1/packages", s.setPackages)
	on("PATCH", "/v1/packages", s.patchPackages)

	on("POST", "/v1/admin/drain", s.drainHub)
	on("POST", "/v1/admin/backup", s.backup)

	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		on(method, "/t/{tenant}/{function}/{…}", s.webhook)
	}
	on("GET", "/v1/ws", s.upgrade)
	on("GET", "/healthz", s.healthz)
	on("GET", "/readyz", s.readyz)
	on("GET", "/metrics", s.metrics)
	on("GET", "/", s.asset)
	on("GET", "/dashboard/{…}", s.asset)
	on("GET", "/sdk/{…}", s.asset)
	on("GET", "/openapi.yaml", s.asset)
	return rs
}

// match gives the parts of path that stand for the route's braces.
func (r *route) match(path []string) (args []string, ok bool) {
	for i, part := range r.parts {
		switch {
		case part == "{…}":
			return args, true
		case i >= len(path):
			return nil, false
		case part != "" && part[0] == '{':
			if path[i] == "" {
				return nil, false
			}
			args = append(args, path[i])
		case part != path[i]:
			return nil, false
		}
	}
	return args, len(path) == len(r.parts)
}

// hidesSlash reports whether a path has an encoded slash. No name has a slash, and once decoded it
// could not be told from one that parts the path: a name from elsewhere would choose another route.
func hidesSlash(original []byte) bool {
	for {
		i := bytes.IndexByte(original, '%')
		if i < 0 || len(original)-i < 3 {
			return false
		}
		if original[i+1] == '2' && original[i+2]|0x20 == 'f' {
			return true
		}
		original = original[i+1:]
	}
}

// route finds the row for a request.
func (s *Server) route(ctx *fasthttp.RequestCtx, path []byte) {
	parts := strings.Split(string(path), "/")[1:]
	method := string(ctx.Method())
	if method == fasthttp.MethodHead {
		method = fasthttp.MethodGet
	}
	var allow []string
	for i := range s.routes {
		r := &s.routes[i]
		args, ok := r.match(parts)
		if !ok {
			continue
		}
		if r.method == method {
			err := s.admit(ctx, r, args)
			if err == nil {
				err = r.handle(ctx, args)
			}
			if err != nil {
				s.fail(ctx, err)
			}
			return
		}
		if !slices.Contains(allow, r.method) {
			allow = append(allow, r.method)
		}
	}
	if allow == nil {
		s.fail(ctx, fault.New(fault.NotFound, "There is nothing at %s.", path))
		return
	}
	ctx.Response.Header.Set(fasthttp.HeaderAllow, strings.Join(allow, ", "))
	p := problemOf(fault.New(fault.InvalidRequest, "%s does not take %s.", path, ctx.Method()))
	p.Status = fasthttp.StatusMethodNotAllowed
	p.write(ctx)
}

package conn

import (
	"github.com/valyala/fasthttp"

	"github.com/livefn/livefn/nodebridge"
)

// bridgesView is the Node processes there are, and those that ended last.
type bridgesView struct {
	Items []nodebridge.BridgeInfo  `json:"items"`
	Ended []nodebridge.EndedBridge `json:"ended"`
}

// listBridges shows a tenant its own bridges, and the operator those of all tenants or of the one it acts as.
func (s *Server) listBridges(ctx *fasthttp.RequestCtx, _ []string) error {
	c, err := s.caller(ctx)
	if err != nil {
		return err
	}
	tenant := ""
	if c.Tenant != nil {
		tenant = c.Tenant.Name()
	}
	var v bridgesView
	v.Items, v.Ended = s.hub.Bridges(tenant)
	return reply(ctx, v, nil)
}

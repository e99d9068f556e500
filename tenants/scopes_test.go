package tenants

import "testing"

func TestScopesAllowWhatTheySayAndNothingElse(t *testing.T) {
	s, err := parseScopes([]string{"invoke:add", "invoke:img@2", "subscribe:orders.>", "subscribe:chat.*.new", "publish:chat.*", "executions:own", "functions:read", "triggers:write"})
	if err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]bool{"add": true, "add@1": true, "add@latest": true, "addition": false, "img": false, "img@2": true, "img@3": false, "": false, "*": false} {
		if got := s.Invoke(ref); got != want {
			t.Errorf("invoke %q: %v", ref, got)
		}
	}
	for p, want := range map[string]bool{
		"orders.eu": true, "orders.>": true, "orders.*": true, "orders.*.>": true, "orders": false, "*": false, ">": false, "*.eu": false, "order.>": false,
		"chat.a.new": true, "chat.*.new": true, "chat.*": false, "chat.>": false, "execution.x": false, "orders.>.x": false, "orders..x": false, "": false,
	} {
		if got := s.Subscribe(p); got != want {
			t.Errorf("subscribe %q: %v", p, got)
		}
	}
	for p, want := range map[string]bool{"chat.a": true, "chat": false, "chat.a.b": false, "orders.eu": false} {
		if got := s.Publish(p); got != want {
			t.Errorf("publish %q: %v", p, got)
		}
	}
	for right, want := range map[string]bool{
		"executions:own": true, "executions:read": false, "executions:write": false, "functions:read": true, "functions:write": false,
		"triggers:read": true, "triggers:write": true, "streams:read": false,
	} {
		if got := s.Has(right); got != want {
			t.Errorf("%s: %v", right, got)
		}
	}
	all := knownScopes([]string{"openid", "invoke:*", "subscribe:>", "invoke:a/b", "executions:all"})
	if !all.Invoke("anything@3") || !all.Subscribe(">") || all.Publish("a") || len(all.List()) != 2 {
		t.Errorf("%+v", all)
	}
}

// "*" is any one token of the tenant's streams: whoever grants it does not mean the hub's own.
func TestAStarInTheFirstPlaceGrantsNoStreamsOfTheHub(t *testing.T) {
	star, rest := knownScopes([]string{"subscribe:*.*", "subscribe:*.>"}), knownScopes([]string{"subscribe:>"})
	publish := knownScopes([]string{"publish:*.*", "publish:*.>"})
	for p, want := range map[string]bool{
		"orders.eu": true, "orders.*": true, "orders.>": true, "executions.x": true,
		"execution.x": false, "execution.*": false, "execution.>": false, "function.add": false, "hub.x": false, "*.*": false, "*.x": false, ">": false,
	} {
		if got := star.Subscribe(p); got != want {
			t.Errorf("subscribe %q: %v", p, got)
		}
		if got := publish.Publish(p); got != want {
			t.Errorf("publish %q: %v", p, got)
		}
		if !rest.Subscribe(p) {
			t.Errorf("> does not grant %q", p)
		}
	}
}

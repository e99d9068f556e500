package conn

import "testing"

// Tokens go in and never come out.
func TestATenantSetsHowItsPackagesAreInstalled(t *testing.T) {
	f := open(t, Config{})
	equal(t, "before", f.request("GET", "/v1/packages", "").body, `{"scripts":"none","scopes":{},"tokens":[]}`)
	const set = `{"scopes":{"@acme":"https://npm.test/private"},"tokens":{"https://npm.test/private/":"hush"}}`
	const shown = `{"scripts":"none","scopes":{"@acme":"https://npm.test/private/"},"tokens":["https://npm.test/private/"]}`
	equal(t, "set", f.request("PUT", "/v1/packages", set).body, shown)
	equal(t, "shown", f.request("GET", "/v1/packages", "").body, shown)
	const path = "/v1/admin/tenants/acme/packages"
	equal(t, "to the operator", f.admin("GET", path, "").body, shown)
	equal(t, "wrong", f.request("PUT", "/v1/packages", `{"tokens":{"https://npm.test/private/":["hush"]}}`).code(t), "invalid_request")
	equal(t, "scripts without walls", f.request("PUT", "/v1/packages", `{"scripts":"all"}`).code(t), "forbidden")
	equal(t, "changed", f.request("PATCH", "/v1/packages", `{"scopes":{"@acme":null},"registry":"https://npm.test/"}`).body, `{"scripts":"none","registry":"https://npm.test/","scopes":{},"tokens":["https://npm.test/private/"]}`)
	equal(t, "changed by the operator", f.admin("PATCH", path, `{"tokens":null}`).body, `{"scripts":"none","registry":"https://npm.test/","scopes":{},"tokens":[]}`)
	equal(t, "changed wrongly", f.request("PATCH", "/v1/packages", `{"scripts":"all"}`).code(t), "forbidden")
	equal(t, "changed by nobody", f.request("PATCH", "/v1/packages", `{}`, "Authorization: Bearer x").code(t), "unauthorized")
	equal(t, "changed at the operator's path", f.request("PATCH", path, `{}`).code(t), "forbidden")
	equal(t, "by the operator", f.admin("PUT", path, `{}`).body, `{"scripts":"none","scopes":{},"tokens":[]}`)
	equal(t, "the operator's path", f.request("GET", path, "").code(t), "forbidden")
	equal(t, "nobody's", f.request("GET", "/v1/packages", "", "Authorization: Bearer x").code(t), "unauthorized")
}

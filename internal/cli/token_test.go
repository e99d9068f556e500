package cli

// tokenAnswers are what the stub of a hub says of tokens.
var tokenAnswers = map[string]string{
	`POST /v1/tokens {"scopes":["invoke:add","executions:own"],"subject":"u7","ttl":"15m"}`: `{"token":"eyJ.e30.x","id":"t1","subject":"u7","scopes":["invoke:add","executions:own"],"expiresAt":"2020-01-01T00:15:00.000Z"}`,
	`POST /v1/tokens {"scopes":["invoke:add"]}`:                                             `{"token":"eyJ.e30.x","id":"t1","scopes":["invoke:add"],"expiresAt":"2020-01-01T01:00:00.000Z"}`,
	`POST /v1/tokens/revoke {"subject":"u7"}`:                                               ``,
	`POST /v1/tokens/revoke {"token":"eyJ.e30.x"}`:                                          ``,
	"GET /v1/tokens/keys":                                                                   `{"items":[{"kid":"hub-1","alg":"HS256","hub":true,"createdAt":"2020-01-01T00:00:00.000Z"},{"kid":"web-1","alg":"EdDSA","hub":false,"createdAt":"2020-01-01T00:00:00.000Z","until":"2020-01-02T00:00:00.000Z"}]}`,
	`POST /v1/tokens/keys {"alg":"HS256","issuer":"","kid":"web-1"}`:                        `{"kid":"web-1","alg":"HS256","secret":"shown once","createdAt":"2020-01-01T00:00:00.000Z"}`,
	"DELETE /v1/tokens/keys/web-1?after=24h":                                                ``,
}

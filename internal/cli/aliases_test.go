package cli

// aliasAnswers is what the hub answers about aliases and versions.
var aliasAnswers = map[string]string{
	"GET /v1/functions/add/aliases":                                   `{"items":[{"name":"prod","version":3,"previous":{"weights":{"2":90,"10":10}},"updatedAt":"2020-01-01T00:00:00.000Z"},{"name":"test","version":1,"updatedAt":"2020-01-01T00:00:00.000Z"}]}`,
	"GET /v1/functions/new/aliases":                                   `{"items":[]}`,
	`PUT /v1/functions/add/aliases/prod {"version":3}`:                `{"name":"prod","version":3}`,
	`PUT /v1/functions/add/aliases/prod {"weights":{"10":10,"2":90}}`: `{"name":"prod","weights":{"2":90,"10":10}}`,
	"POST /v1/functions/add/aliases/prod/rollback":                    `{"name":"prod","version":2}`,
	"DELETE /v1/functions/add/aliases/prod":                           ``,
	"GET /v1/functions/add/versions":                                  `{"items":[{"version":1,"state":"ready","createdAt":"2020-01-01T00:00:00.000Z"},{"version":2,"state":"broken","error":"no export\nat x","createdAt":"2020-01-01T00:00:00.000Z"}]}`,
	"DELETE /v1/functions/add?drain=true":                             ``,
	"DELETE /v1/functions/add/versions/2":                             ``,
}

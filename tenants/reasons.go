package tenants

import (
	"bytes"
	"fmt"
	"regexp"
)

// reasons turn npm's error codes into a first line that says what to do.
var reasons = []struct {
	pattern *regexp.Regexp
	say     string
}{
	{regexp.MustCompile(`code E404[\s\S]*?404\s+(?:Not Found - GET \S+/)?'?((?:@[\w.-]+(?:/|%2[fF]))?[\w.-]+)(?:@[^' ]*)?'?`), "The package %s does not exist in the registry. Check its name in dependencies."},
	{regexp.MustCompile(`No matching version found for (\S+?)\.?\n`), "No published version matches %s. Check the range in dependencies."},
	{regexp.MustCompile(`code ERESOLVE[\s\S]*?Could not resolve dependency:\s*(?:npm (?:error|ERR!)\s*)*(.+)`), "The dependencies conflict with each other (%s). Choose versions whose peer dependencies agree."},
	{regexp.MustCompile(`code EBADENGINE[\s\S]*?notsup Not compatible with your version of node/npm: (\S+)[\s\S]*?notsup Required: +\{"node":"([^"]*)"`), "The package %s needs Node %s, which this hub does not run. Choose another version of it."},
	{regexp.MustCompile(`code (EBADENGINE)`), "A package does not support this version of Node (%s). Choose another version of it."},
	{regexp.MustCompile(`code (ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ECONNRESET|ERR_SOCKET_TIMEOUT|EHOSTUNREACH|ENETUNREACH|E5\d\d)`), "The package registry could not be reached (%s). Try again, or check the hub's network."},
	{regexp.MustCompile(`code (E401|E403)`), "The package registry did not let the hub in (%s). Give it a token: PUT /v1/packages has registries and tokens of a tenant, the .npmrc of the hub's user those of all."},
	{regexp.MustCompile(`code (ENOSPC)`), "The hub's disk is full (%s)."},
	{regexp.MustCompile(`code (EINVALIDPACKAGENAME|EINVALIDTAGNAME|EUNSUPPORTEDPROTOCOL)`), "A name or range in dependencies is not valid (%s)."},
	{regexp.MustCompile(`npm (?:error|ERR!) (?:code )?(.+)`), "npm failed: %s"},
}

func explain(output []byte) string {
	for _, r := range reasons {
		if m := r.pattern.FindSubmatch(output); m != nil {
			var found []any
			for _, part := range m[1:] {
				found = append(found, bytes.TrimSpace(part))
			}
			return fmt.Sprintf(r.say, found...)
		}
	}
	return "npm failed without saying why; see the log."
}

package tenants

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

// reasons turn npm's error codes into a first line that says what to do.
var reasons = []struct {
	pattern *regexp.Regexp
	say     string
}{
	{regexp.MustCompile(`gyp ERR! (?:stack Error: |stack |configure error[\s\S]*?)?((?:find|not found: |not ok[\s\S]*?Could not find any) ?(?:Python|make|VS)\S*)`), "A package has native code that is built when it is installed, and the hub's machine lacks a tool for that (%s). Choose a version that brings it built, or have the operator install Python 3, make and a C++ compiler."},
	{regexp.MustCompile(`npm (?:error|ERR!) path \S*/node_modules/(\S+)\s+npm (?:error|ERR!) command failed\s+npm (?:error|ERR!) command (?:sh -c )?(.+)`), "A script of the package %s failed (%s). See the log, or choose another version of it."},
	{regexp.MustCompile(`npm (?:error|ERR!) command failed\s+npm (?:error|ERR!) command (?:sh -c )?(.+)`), "A script of the function's own package.json failed (%s). See the log."},
	{regexp.MustCompile(`code E404[\s\S]*?404\s+(?:Not Found - GET \S+/)?'?((?:@[\w.-]+(?:/|%2[fF]))?[\w.-]+)(?:@[^' ]*)?'?`), "The package %s does not exist in the registry. Check its name in dependencies."},
	{regexp.MustCompile(`No matching version found for (\S+?)\.?\n`), "No published version matches %s. Check the range in dependencies."},
	{regexp.MustCompile(`code ERESOLVE[\s\S]*?Could not resolve dependency:\s*(?:npm (?:error|ERR!)\s*)*(.+)`), "The dependencies conflict with each other (%s). Choose versions whose peer dependencies agree."},
	{regexp.MustCompile(`code EBADENGINE[\s\S]*?notsup Not compatible with your version of node/npm: (\S+)[\s\S]*?notsup Required: +\{"node":"([^"]*)"`), "The package %s needs Node %s, which this hub does not run. Choose another version of it."},
	{regexp.MustCompile(`code (EBADENGINE)`), "A package does not support this version of Node (%s). Choose another version of it."},
	{regexp.MustCompile(`code (ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ECONNRESET|ERR_SOCKET_TIMEOUT|EHOSTUNREACH|ENETUNREACH|E5\d\d)`), "The package registry could not be reached (%s). Try again, or check the hub's network."},
	{regexp.MustCompile(`code (E401|E403)`), "The package registry did not let the hub in (%s). Give it a token: `livefn packages set` (PUT /v1/packages) has registries and tokens of a tenant, the .npmrc of the hub's user those of all."},
	{regexp.MustCompile(`code EBADPLATFORM[\s\S]*?notsup Unsupported platform for (\S+?):`), "The package %s is made for other systems than the hub's. Move it to optionalDependencies, or leave it out."},
	{regexp.MustCompile(`code (EINTEGRITY)`), "A package is not what its lock file, or the registry, says it is (%s): its checksum differs. Make the lock file anew; if it still differs, do not trust the registry."},
	{regexp.MustCompile(`code (?:128|ENOENT)[\s\S]*?(?:command|spawn) (git\b.*)`), "A dependency comes from a git repository that could not be read (%s). The hub needs git and the right to read it; or publish the package to a registry."},
	{regexp.MustCompile(`code (EINVALIDPACKAGENAME|EINVALIDTAGNAME|EUNSUPPORTEDPROTOCOL)`), "A name or range in dependencies is not valid (%s)."},
	{regexp.MustCompile(`npm (?:error|ERR!) (?:code )?(.+)`), "npm failed: %s"},
}

func explain(output []byte) string {
	for _, r := range reasons {
		if m := r.pattern.FindSubmatch(output); m != nil {
			var found []any
			for _, part := range m[1:] {
				found = append(found, strings.NewReplacer("%2f", "/", "%2F", "/").Replace(string(bytes.TrimSpace(part))))
			}
			return fmt.Sprintf(r.say, found...)
		}
	}
	return "npm failed without saying why; see the log."
}

package conn

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"testing"
)

func TestATarballIsPublished(t *testing.T) {
	f := open(t, Config{})
	pack := func(files ...string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		w := tar.NewWriter(z)
		for i := 0; i < len(files); i += 2 {
			if err := w.WriteHeader(&tar.Header{Name: files[i], Size: int64(len(files[i+1])), Mode: 0o644}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte(files[i+1])); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	good := pack("package/package.json", `{"main":"a.js","livefn":{"timeout":"5s"}}`, "package/a.js", "module.exports = 1")
	equal(t, "publish", f.request("PUT", "/v1/functions/packed", good, "Content-Type: application/gzip").status, 201)
	equal(t, "again", f.request("PUT", "/v1/functions/packed", good, "Content-Type: application/gzip; x=y").status, 200)
	equal(t, "out of its folder", f.request("PUT", "/v1/functions/packed", pack("package/../../x", "1"), "Content-Type: application/gzip").code(t), "invalid_request")
	equal(t, "no tarball", f.request("PUT", "/v1/functions/packed", "{}", "Content-Type: application/gzip").code(t), "invalid_request")
	equal(t, "nobody's", f.request("PUT", "/v1/functions/packed", good, "Content-Type: application/gzip", "Authorization: Bearer x").code(t), "unauthorized")
}

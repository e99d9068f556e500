// Package client is the smallest way to a hub from Go: requests to the public HTTP API with problem
// documents as errors, and its event streams. The CLI is built on it and on nothing else of livefn.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Client says which hub, and as whom. The zero HTTP is http.DefaultClient.
type Client struct {
	URL    string
	Key    string
	Tenant string // for the operator's key: the tenant to act as
	HTTP   *http.Client
}

// Answer is what the hub said to a request that it did.
type Answer struct {
	Status    int
	Header    http.Header
	Body      []byte
	Execution string // of a call
}

// Problem is a request that the hub did not do: its problem document (RFC 9457).
type Problem struct {
	Status    int    `json:"status"`
	Code      string `json:"code"`
	Title     string `json:"title,omitempty"`
	Detail    string `json:"detail,omitempty"`
	Execution string `json:"execution,omitempty"`
	Name      string `json:"name,omitempty"`
	Stack     string `json:"stack,omitempty"`
}

func (p *Problem) Error() string {
	if p.Detail == "" {
		return p.Code + ": " + p.Title
	}
	return p.Code + ": " + p.Detail
}

// maxAnswer bounds what one answer may bring into memory.
const maxAnswer = 256 << 20

// Raw is a body that is sent as it is.
type Raw struct {
	Type    string // its media type
	Content []byte
}

// Do makes a request. A body that is not nil, nor Raw, is sent as JSON. An answer of 400 and above is a *Problem.
func (c *Client) Do(ctx context.Context, method, path string, body any, header ...string) (*Answer, error) {
	res, err := c.send(ctx, method, path, body, header...)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("read the hub's answer: %w", err)
	}
	if len(b) > maxAnswer {
		return nil, fmt.Errorf("the hub's answer is over %d bytes", maxAnswer)
	}
	if res.StatusCode >= 400 {
		return nil, problem(res, b)
	}
	return &Answer{Status: res.StatusCode, Header: res.Header, Body: b, Execution: res.Header.Get("Livefn-Execution")}, nil
}

// JSON makes a request and decodes its answer into result, unless that is nil.
func (c *Client) JSON(ctx context.Context, method, path string, body, result any, header ...string) error {
	a, err := c.Do(ctx, method, path, body, header...)
	if err != nil || result == nil || len(a.Body) == 0 {
		return err
	}
	if err := json.Unmarshal(a.Body, result); err != nil {
		return fmt.Errorf("the answer of %s to %s %s is not what was expected: %w", c.URL, method, path, err)
	}
	return nil
}

// Download makes a request and copies its answer's body to w, however long it is.
func (c *Client) Download(ctx context.Context, method, path string, w io.Writer) (int64, error) {
	res, err := c.send(ctx, method, path, nil)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if res.StatusCode >= 400 {
		b, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20)) // what is there will do
		return 0, problem(res, b)
	}
	n, err := io.Copy(w, res.Body)
	if err != nil {
		return n, fmt.Errorf("read the hub's answer: %w", err)
	}
	return n, nil
}

// send makes a request; header holds names and values in turn.
func (c *Client) send(ctx context.Context, method, path string, body any, header ...string) (*http.Response, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q is not a hub's URL like http://127.0.0.1:8080", c.URL)
	}
	var content io.Reader
	kind := "application/json"
	switch b := body.(type) {
	case nil:
	case Raw:
		kind, content = b.Type, bytes.NewReader(b.Content)
	default:
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.URL, "/")+path, content)
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", kind)
	}
	if c.Key != "" {
		r.Header.Set("Authorization", "Bearer "+c.Key)
	}
	if c.Tenant != "" {
		r.Header.Set("Livefn-Tenant", c.Tenant)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	h := c.HTTP
	if h == nil {
		h = http.DefaultClient
	}
	return h.Do(r)
}

// problem reads a problem document, or makes one of an answer that is none.
func problem(res *http.Response, body []byte) error {
	p := &Problem{}
	if json.Unmarshal(body, p) != nil || p.Code == "" {
		p = &Problem{Code: fmt.Sprintf("http_%d", res.StatusCode), Title: http.StatusText(res.StatusCode)}
	}
	p.Status = res.StatusCode
	return p
}

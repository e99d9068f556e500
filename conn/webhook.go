package conn

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"mime"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"github.com/livefn/livefn/hub"
	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/nodebridge"
)

// webhook is a request as a public function gets it.
type webhook struct {
	Method  string            `json:"method"`
	Path    string            `json:"path"` // behind the function's name; "/" if there is nothing
	Query   map[string]any    `json:"query"`
	Headers map[string]string `json:"headers"` // names in lower case; several of one name joined by ", "
	Body    any               `json:"body"`
	RawBody *string           `json:"rawBody"` // the body as it came, for signatures; null if it is not UTF-8
}

// errNotPublic is the answer wherever there is no public function: it does not tell what there is.
var errNotPublic = fault.New(fault.NotFound, "There is no public function at this address.")

// sandbox gives pages that a function answers with an origin of their own (CSP 3, 6.3.2: no allow-same-origin). They
// come from the hub's address, as the dashboard does: without it, they would have its storage, and could act as it.
const sandbox = "sandbox allow-scripts allow-forms allow-modals allow-popups allow-popups-to-escape-sandbox " +
	"allow-downloads allow-top-navigation-by-user-activation"

// webhook calls a public function with the request as its one argument. Nobody signs in.
func (s *Server) webhook(ctx *fasthttp.RequestCtx, args []string) error {
	ctx.Response.Header.Set(fasthttp.HeaderContentSecurityPolicy, sandbox)
	ctx.Response.Header.Set(fasthttp.HeaderXContentTypeOptions, "nosniff")
	name := args[1]
	t, err := s.tenants.Tenant(args[0])
	if err != nil {
		return errNotPublic
	}
	key := string(ctx.Request.Header.Peek("Idempotency-Key"))
	v, _, err := t.ResolveFor(name, key)
	if err != nil || !v.Settings.Public {
		return errNotPublic
	}
	arg, err := json.Marshal([]webhook{s.webhookOf(ctx, args[0], name)})
	if err != nil { // strings, and JSON that was checked
		return err
	}
	w, err := s.wait.take(ctx)
	if err != nil {
		return err
	}
	defer s.wait.put(w)
	wish := wishes{}
	if err := wish.prefer(ctx.Request.Header.Peek("Prefer")); err != nil {
		return err
	}
	w.req = hub.Request{Function: name, Args: arg, Encoding: nodebridge.JSON, Key: key}
	if key != "" {
		w.req.Key = hub.WebhookKey(key)
	}
	if wish.async || wish.wait > 0 {
		s.start(ctx, t, w, wish)
	} else {
		if _, err := s.hub.Invoke(t, &w.req, w); err != nil {
			return err
		}
		<-w.done
		w.finish(s)
	}
	if w.failure != nil {
		hideFailure(ctx, w)
	} else if ctx.Response.StatusCode() == fasthttp.StatusOK {
		shapeAnswer(&ctx.Response)
	}
	return nil
}

// hideFailure keeps what a function threw from strangers.
func hideFailure(ctx *fasthttp.RequestCtx, w *waiter) {
	p := problemOfFailure(w.execution, w.failure)
	if w.failure.Code == fault.FunctionError || w.failure.Code == fault.VersionBroken || w.failure.Code == fault.ResultNotSerializable {
		p.Detail = "The function failed; its owner finds out why with the execution's id."
	}
	p.Name, p.Stack = "", ""
	p.write(ctx)
}

// webhookOf reads the request.
func (s *Server) webhookOf(ctx *fasthttp.RequestCtx, tenant, name string) webhook {
	r := &ctx.Request
	h := webhook{Method: string(ctx.Method()), Query: map[string]any{}, Headers: map[string]string{}}
	if h.Path = strings.TrimPrefix(string(ctx.Path()), "/t/"+tenant+"/"+name); h.Path == "" {
		h.Path = "/"
	}
	for k, v := range ctx.QueryArgs().All() {
		add(h.Query, string(k), string(v))
	}
	for k, v := range r.Header.All() {
		key := strings.ToLower(string(k))
		if before, ok := h.Headers[key]; ok {
			h.Headers[key] = before + ", " + string(v)
		} else {
			h.Headers[key] = string(v)
		}
	}
	body := r.Body()
	if utf8.Valid(body) {
		raw := string(body)
		h.RawBody = &raw
	}
	h.Body = bodyOf(string(r.Header.ContentType()), body)
	return h
}

// bodyOf gives a body by its type: JSON parsed, a form as an object, text as a string, else bytes as
// {"base64"}; null if there is none.
func bodyOf(contentType string, body []byte) any {
	if len(body) == 0 {
		return nil
	}
	kind, _, _ := mime.ParseMediaType(contentType) // unreadable: unknown
	switch {
	case (kind == "application/json" || strings.HasSuffix(kind, "+json")) && json.Valid(body):
		return json.RawMessage(body)
	case kind == "application/x-www-form-urlencoded":
		if form, err := url.ParseQuery(string(body)); err == nil {
			m := map[string]any{}
			for name, values := range form {
				for _, v := range values {
					add(m, name, v)
				}
			}
			return m
		}
	case !strings.HasPrefix(kind, "text/") && kind != "" && kind != "application/json" && kind != "application/xml":
		return map[string]string{"base64": base64.StdEncoding.EncodeToString(body)}
	}
	if utf8.Valid(body) {
		return string(body)
	}
	return map[string]string{"base64": base64.StdEncoding.EncodeToString(body)}
}

// add adds a value to a name, which has a list of them if there are several.
func add(m map[string]any, name, value string) {
	switch have := m[name].(type) {
	case nil:
		m[name] = value
	case string:
		m[name] = []string{have, value}
	case []string:
		m[name] = append(have, value)
	}
}

// notTheFunctions are headers that belong to the connection (RFC 9110, section 7.6.1), to the message's length, which a
// function must not make up, or to the hub's origin, which it shares with the dashboard.
var notTheFunctions = map[string]bool{
	"connection": true, "keep-alive": true, "proxy-authenticate": true, "proxy-connection": true, "te": true, "trailer": true,
	"transfer-encoding": true, "upgrade": true, "content-length": true, "date": true, "server": true, "livefn-execution": true,
	"service-worker-allowed": true, "x-content-type-options": true, "clear-site-data": true,
}

// shapeAnswer makes the response of a result {status, headers, body}; any other result stays as it is.
func shapeAnswer(r *fasthttp.Response) {
	if !bytes.HasPrefix(bytes.TrimSpace(r.Body()), []byte("{")) || string(r.Header.ContentType()) != "application/json" {
		return
	}
	var answer struct {
		Status  *int                       `json:"status"`
		Headers map[string]json.RawMessage `json:"headers"`
		Body    json.RawMessage            `json:"body"`
	}
	d := json.NewDecoder(bytes.NewReader(r.Body()))
	d.DisallowUnknownFields()
	if d.Decode(&answer) != nil || answer.Status == nil && answer.Headers == nil || answer.Status != nil && (*answer.Status < 200 || *answer.Status > 599) {
		return
	}
	contentType, body := bodyText(answer.Body)
	if answer.Status != nil {
		r.SetStatusCode(*answer.Status)
	}
	r.SetBody(body)
	r.Header.SetContentType(contentType)
	for name, raw := range answer.Headers {
		if notTheFunctions[strings.ToLower(name)] || !isHeaderName(name) {
			continue
		}
		var values []string
		if one := ""; json.Unmarshal(raw, &one) == nil {
			values = []string{one}
		} else if json.Unmarshal(raw, &values) != nil {
			continue
		}
		for i, v := range values {
			replace := i == 0 && !strings.EqualFold(name, fasthttp.HeaderContentSecurityPolicy) // of policies all hold
			if v = headerValue(v); replace {
				r.Header.Set(name, v)
			} else {
				r.Header.Add(name, v)
			}
		}
	}
}

// bodyText gives a body of an answer and its type: a string as text, {"base64"} as bytes, else JSON.
func bodyText(raw json.RawMessage) (contentType string, body []byte) {
	if len(raw) == 0 || string(raw) == "null" {
		return "", nil
	}
	if text := ""; json.Unmarshal(raw, &text) == nil {
		return "text/plain; charset=utf-8", []byte(text)
	}
	var coded struct {
		Base64 *string `json:"base64"`
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if d.Decode(&coded) == nil && coded.Base64 != nil {
		if b, err := base64.StdEncoding.DecodeString(*coded.Base64); err == nil {
			return "application/octet-stream", b
		}
	}
	return "application/json", raw
}

// isHeaderName says whether a name is a token (RFC 9110, section 5.6.2).
func isHeaderName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return name != ""
}

// headerValue takes out what would end a header and begin another.
func headerValue(v string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' && c != '\t' || c == 0x7f {
			return -1
		}
		return c
	}, v)
}

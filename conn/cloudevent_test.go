package conn

import (
	"context"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

// history gives a stream's events as the HTTP API shows them.
func (f *front) history(stream string) []map[string]any {
	f.t.Helper()
	r := f.request("GET", "/v1/streams/"+stream+"/events", "")
	list, _ := member(f.t, r.body, "events").([]any)
	events := make([]map[string]any, len(list))
	for i := range list {
		events[i], _ = list[i].(map[string]any)
	}
	return events
}

// Clients that know nothing of livefn publish with the SDK of their language (that for JavaScript is in
// internal/e2e).
func TestTheCloudEventsSDKForGoPublishes(t *testing.T) {
	f := open(t, Config{})
	client, err := cloudevents.NewClientHTTP(cloudevents.WithTarget("http://"+f.addr+"/v1/streams/orders/events"),
		cehttp.WithHeader("Authorization", "Bearer "+f.key))
	if err != nil {
		t.Fatal(err)
	}
	event := func(id, media string, data any) cloudevents.Event {
		e := cloudevents.NewEvent()
		e.SetID(id)
		e.SetSource("https://example.com/go")
		e.SetType("made")
		if err := e.SetData(media, data); err != nil {
			t.Fatal(err)
		}
		return e
	}
	for i, encoding := range []func(context.Context) context.Context{cloudevents.WithEncodingBinary, cloudevents.WithEncodingStructured} {
		n := strconv.Itoa(i)
		ctx := encoding(context.Background())
		for _, e := range []cloudevents.Event{
			event("json"+n, "application/json", map[string]int{"n": 1}), event("text"+n, "text/plain", "grüß"), event("raw"+n, "image/png", []byte{0, 255}),
		} {
			if res := client.Send(ctx, e); !cloudevents.IsACK(res) {
				t.Fatal(res)
			}
		}
	}
	batch, err := cehttp.NewHTTPRequestFromEvents(t.Context(), "http://"+f.addr+"/v1/streams/orders/events", []cloudevents.Event{
		event("json", "application/json", map[string]int{"n": 1}), event("text", "text/plain", "grüß"), event("raw", "image/png", []byte{0, 255}),
	})
	if err != nil {
		t.Fatal(err)
	}
	batch.Header.Set("Authorization", "Bearer "+f.key)
	res, err := http.DefaultClient.Do(batch)
	if err != nil || res.StatusCode != http.StatusOK || res.Body.Close() != nil {
		t.Fatalf("%v, %v", res, err)
	}
	want := []any{map[string]any{"n": 1.0}, "grüß", map[string]any{"base64": "AP8="}}
	events := f.history("orders")
	equal(t, "events", len(events), 9)
	for i, ev := range events {
		deepEqual(t, "data", ev["data"], want[i%3])
	}
}

// An event that is none is refused as a whole, with a detail that says why.
func TestACloudEventThatIsInvalidIsRefused(t *testing.T) {
	f := open(t, Config{})
	const media, good = "Content-Type: application/cloudevents+json", `"specversion":"1.0","id":"1","source":"/s","type":"t"`
	for body, detail := range map[string]string{
		``:     "must be a JSON object",
		`[]`:   "0 events",
		`null`: "must be a JSON object",
		`{"specversion":"1.0","id":"1","source":"/s"}`:             "has no type",
		`{"specversion":"0.3","id":"1","source":"/s","type":"t"}`:  "must be 1.0",
		`{"specversion":"1.0","id":"","source":"/s","type":"t"}`:   "id is empty",
		`{"specversion":"1.0","id":1,"source":"/s","type":"t"}`:    "id must be a string",
		`{"specversion":"1.0","id":"1","source":"%zz","type":"t"}`: "not a URI",
		`{` + good + `,"time":"today"}`:                            "RFC 3339",
		`{` + good + `,"dataschema":"x"}`:                          "absolute URI",
		`{` + good + `,"Bad":"x"}`:                                 "lower-case",
		`{` + good + `,"ext":{}}`:                                  "must be a string, an integer or a boolean",
		`{` + good + `,"ext":1.5}`:                                 "32 bits",
		`{` + good + `,"data":1,"data_base64":"AA=="}`:             "either data",
		`{` + good + `,"data_base64":"*"}`:                         "not base64",
		`[{` + good + `},{"id":"2"}]`:                              "Event 1 of the array",
	} {
		r := f.request("POST", "/v1/streams/orders/events", body, media)
		if r.code(t) != "invalid_request" || !strings.Contains(r.body, detail) {
			t.Errorf("%s: %s, want %s", body, r.body, detail)
		}
	}
	for headers, detail := range map[string]string{
		"ce-specversion: 1.0|ce-id: 1|ce-source: /s":                                           "has no type",
		"ce-specversion: 1.0|ce-id: 1|ce-source: /s|ce-type: %ff":                              "percent-encoding",
		"ce-specversion: 1.0|ce-id: 1|ce-source: /s|ce-type: t|Content-Type: application/json": "not JSON",
	} {
		r := f.request("POST", "/v1/streams/orders/events", `{`, strings.Split(headers, "|")...)
		if r.code(t) != "invalid_request" || !strings.Contains(r.body, detail) {
			t.Errorf("%s: %s, want %s", headers, r.body, detail)
		}
	}
	for body, detail := range map[string]string{
		`{`: "not JSON", `{"data":1}`: "type must be", `{"type":"a","more":1}`: "unknown member", `{"type":""}`: "type must be", `[1]`: "Event 0",
	} {
		r := f.request("POST", "/v1/streams/orders/events", body)
		if r.code(t) != "invalid_request" || !strings.Contains(r.body, detail) {
			t.Errorf("%s: %s, want %s", body, r.body, detail)
		}
	}
	equal(t, "published", len(f.history("orders")), 0)
}

func deepEqual(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

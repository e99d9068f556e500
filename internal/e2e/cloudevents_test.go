package e2e

import (
	"net/http"
	"os/exec"
	"reflect"
	"strconv"
	"testing"
)

// A program that knows nothing of livefn publishes with the CloudEvents SDK for JavaScript: binary,
// structured and in a batch.
func TestTheCloudEventsSDKForJavaScriptPublishes(t *testing.T) {
	h := startHub(t)
	out, err := exec.Command("node", "cloudevents.mjs", h.url+"/v1/streams/orders/events", h.key).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var page struct {
		Events []struct {
			Type       string
			Data       any
			CloudEvent map[string]any
		}
	}
	h.http().json("GET", "/v1/streams/orders/events", nil, http.StatusOK, &page)
	if len(page.Events) != 4 {
		t.Fatalf("%d events: %s", len(page.Events), out)
	}
	for i, ev := range page.Events {
		n := strconv.Itoa(i + 1)
		delete(ev.CloudEvent, "datacontenttype") // the SDK sends it in binary mode alone
		want := map[string]any{
			"specversion": "1.0", "id": "js-" + n, "source": "/shop", "subject": "a b", "type": "com.example.order",
			"time": "2026-01-02T03:04:05.000Z", "trace": "x",
		}
		if ev.Type != "com.example.order" || !reflect.DeepEqual(ev.Data, map[string]any{"n": float64(i + 1)}) || !reflect.DeepEqual(ev.CloudEvent, want) {
			t.Errorf("event %s: %+v", n, ev)
		}
	}
}

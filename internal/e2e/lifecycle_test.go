package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// startOne begins a durable execution and gives its id.
func (h *hub) startOne(name string, args ...any) string {
	h.t.Helper()
	if args == nil {
		args = []any{}
	}
	var out struct{ Execution string }
	h.http().json("POST", "/v1/invoke/"+name+"?async=1", args, http.StatusAccepted, &out)
	return out.Execution
}

// watch watches an execution from its start, on a connection of its own.
func (h *hub) watch(id string) *socket {
	h.t.Helper()
	s := h.socket()
	s.call("subscribe", map[string]any{"stream": "execution." + id, "since": "start"}, nil)
	return s
}

// ends waits for an execution's end and wants its result.
func (h *hub) ends(id string, result any) {
	h.t.Helper()
	h.watch(id).next("its end", func(ev event) bool {
		return ev.Type == "execution.succeeded" || ev.Type == "execution.failed" || ev.Type == "execution.cancelled"
	})
	x := h.socket().get(id)
	b, err := json.Marshal(result)
	if err != nil {
		h.t.Fatal(err)
	}
	var got, want any
	_ = json.Unmarshal(x.Result, &got) // none: not what is wanted
	if err := json.Unmarshal(b, &want); err != nil || !reflect.DeepEqual(got, want) || x.State != "succeeded" {
		h.t.Errorf("it ended as %s, want %s", show(x), b)
	}
}

// One order goes through everything that can end an attempt, and the hub is killed in each of them.
func TestAnOrderOutlivesEveryKill(t *testing.T) {
	h := startHub(t)
	h.publish("add", `module.exports = (a, b) => a + b`)
	h.publish("price", `module.exports = async (n) => n * 10`)
	h.publish("receipt", `module.exports = async (order, hub) => ({ order, parent: hub.execution.parent })`)
	h.publish("order", `
		module.exports = async function order (order, step = 'price', approval, hub) {
			if (step === 'price') {
				order.price = await hub.invoke('price', order.n)
				await hub.checkpoint(order, 'cool off')
				hub.emit('checkpointed')
				await new Promise(() => {})            // killed here
			}
			if (step === 'cool off') return hub.sleep('1s', order, 'approval')
			if (step === 'approval') return hub.waitFor('approved', { timeout: '1h' }, order, 'ship')
			order.by = approval.by
			order.receipt = await hub.start('receipt', order.n)
			return order
		}`)
	id := h.startOne("order", map[string]any{"n": 3})
	h.watch(id).nextOf("checkpointed")
	h.kill()
	h.start()
	h.watch(id).nextOf("execution.paused") // asleep
	h.kill()
	h.start()
	s := h.watch(id)
	s.next("that it waits", func(ev event) bool {
		return ev.Type == "execution.paused" && strings.Contains(string(ev.Data), `"event"`)
	})
	h.kill()
	h.start()
	s = h.watch(id)
	s.call("send", map[string]any{"execution": id, "type": "approved", "data": map[string]any{"by": "ann"}}, nil)
	s.nextOf("execution.succeeded")
	x := s.get(id)
	var got struct {
		N, Price int
		By       string
		Receipt  string
	}
	if err := json.Unmarshal(x.Result, &got); err != nil || got.N != 3 || got.Price != 30 || got.By != "ann" || x.Attempt != 4 {
		t.Fatalf("it ended as %s", show(x))
	}
	h.ends(got.Receipt, map[string]any{"order": 3, "parent": id})
	var list struct{ Items []struct{ ID string } }
	h.http().json("GET", "/v1/executions?parent="+id, nil, http.StatusOK, &list)
	if len(list.Items) != 1 || list.Items[0].ID != got.Receipt {
		t.Errorf("its durable children are %+v", list.Items)
	}
	h.neighbour()
}

func TestAFailingFunctionIsTriedAgainWithItsCheckpoint(t *testing.T) {
	h := startHub(t)
	h.http().json("PUT", "/v1/functions/flaky", map[string]any{"settings": map[string]any{"retries": map[string]any{"attempts": 2, "backoff": "10ms"}}, "source": `
		module.exports = async function flaky (done = 0, hub) {
			await hub.checkpoint(done + 1)
			if (done < 2) throw new Error('not yet ' + done)
			return [done, hub.execution.attempt]
		}`}, http.StatusCreated, nil)
	id := h.startOne("flaky")
	h.ends(id, []int{2, 3})
	var x struct {
		Attempts []struct {
			Attempt int
			Error   struct{ Message string }
		}
	}
	h.http().json("GET", "/v1/executions/"+id, nil, http.StatusOK, &x)
	if got := fmt.Sprint(x.Attempts); got != "[{1 {not yet 0}} {2 {not yet 1}}]" {
		t.Errorf("attempts %s", got)
	}
}

// A stop pauses what can, and the next start goes on with it, without anybody asking.
func TestADrainedHubGoesOnByItself(t *testing.T) {
	h := startHub(t)
	h.publish("count", `
		module.exports = async function count (n, attempts = [], hub) {
			attempts.push(hub.execution.attempt)
			if (attempts.length > 1) return [n, attempts]
			hub.emit('counting')
			await new Promise(resolve => hub.events.once('pause', resolve))
			return hub.pause(n + 1, attempts)
		}`)
	var ids []string
	for range 20 {
		ids = append(ids, h.startOne("count", 1))
	}
	for _, id := range ids {
		h.watch(id).nextOf("counting")
	}
	h.stop()
	h.start()
	for _, id := range ids {
		h.ends(id, []any{2, []int{1, 2}})
	}
}

// An endless loop takes down neither the tenant nor its neighbour.
func TestAnEndlessLoopIsEndedAndNamed(t *testing.T) {
	h := startHub(t)
	h.publish("spin", `module.exports = () => { for (;;); }`)
	h.publish("add", `module.exports = (a, b) => a + b`)
	res := h.http().raw("POST", "/v1/invoke/spin", strings.NewReader("[]"))
	if res.status != http.StatusBadGateway || !strings.Contains(string(res.body), `"code":"stuck"`) || !strings.Contains(string(res.body), "spin@1") {
		t.Errorf("the loop is answered %d %s", res.status, res.body)
	}
	h.neighbour()
	var sum int
	h.http().json("POST", "/v1/invoke/add", []int{1, 2}, http.StatusOK, &sum)
}

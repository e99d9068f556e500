package nodebridge

import (
	"strings"
	"testing"

	"github.com/livefn/livefn/internal/fault"
)

// asked waits for a Request of the function and gives its text.
func (a *answer) asked(part string) string {
	a.t.Helper()
	return strings.TrimPrefix(a.waitFor(part), "Request ")
}

func TestAFunctionInNodeAsksAndIsAnswered(t *testing.T) {
	f := real(t, Config{})
	a := begin(t, f, module(t, `module.exports = async (n, hub) => {
		const sum = await hub.invoke('add', n, 2)
		const bytes = await hub.invoke('bytes')
		await hub.checkpoint(sum)
		const code = await hub.publish('orders.eu', 'created', sum).catch(err => err.code)
		const child = await hub.with({ key: 'k', delay: '2s' }).start('import')
		return [sum, bytes.toString(), code, child]
	}`), "[1]")
	check(t, "invoke", a.asked("add"), "\x01\x00\x00\x00\x02"+`{"function":"add","args":[1,2]}`)
	a.Respond(1, StatusOK, JSON, []byte("3"))
	check(t, "invoke", a.asked("bytes"), "\x02\x00\x00\x00\x02"+`{"function":"bytes","args":[]}`)
	a.Respond(2, StatusOK, Bytes, []byte("raw"))
	check(t, "checkpoint", a.asked("[3]"), "\x03\x00\x00\x00\x01\x00\x00[3]")
	a.Respond(3, StatusOK, Nothing, nil)
	check(t, "publish", a.asked("orders"), "\x04\x00\x00\x00\x04"+`{"stream":"orders.eu","type":"created","data":3}`)
	a.RespondFault(4, fault.New(fault.StorageUnavailable, "No."))
	check(t, "start", a.asked("import"), "\x05\x00\x00\x00\x03"+`{"function":"import","args":[],"key":"k","delay":2000}`)
	a.Respond(5, StatusOK, JSON, []byte(`{"execution":"x2"}`))
	check(t, "result", a.wait(), `Result [3,"raw","storage_unavailable","x2"]`)
}

// Of the events that came, a pause names those that the next attempt must get again.
func TestAPauseInNodeTellsWhatNoListenerHeard(t *testing.T) {
	f := real(t, Config{})
	a := begin(t, f, module(t, `module.exports = hub => new Promise(() => {
		hub.events.on('nap', ms => hub.sleep(ms, 'rested'))
		hub.emit('ready')
	})`), "[]")
	a.waitFor("ready")
	for i, eventType := range []string{"other", "other", "nap", "nap"} {
		check(t, "send", a.Send(uint64(i+1), eventType, []byte("1500")), nil)
	}
	check(t, "final frame", a.wait(), `Paused {"sleep":1500,"seen":3,"kept":[1,2]}["rested"]`)
}

// A function that returns while it waits for answers leaves nothing behind that could end the process.
func TestAFunctionThatReturnsWhileItAsksLeavesTheProcessAlone(t *testing.T) {
	f := real(t, Config{})
	m := module(t, `module.exports = (n, hub) => { hub.checkpoint(n); (async () => { await hub.invoke('f') })(); return n }`)
	for range 3 {
		check(t, "result", invoke(t, f, m, "[5]"), "Result 5")
	}
	check(t, "restarts", f.Bridges("")[0].Restarts, 0)
	check(t, "processes", len(f.Bridges("")), 1)
}

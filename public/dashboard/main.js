// The dashboard: SDK → store → views, one way. It uses the public API alone.
//
//   store.js      what is known, and the actions that change it; detail.js: of the open execution;
//                 published.js: under the chosen function's name; watch.js: of the stream that is watched
//   live.js       how streams that are faster than a screen are watched
//   route.js      the address bar's #/… as {function, execution} or {stream}
//   views/*.js    elements built once, with update(state); format.js and dom.js help them
//
// For tests, elements carry data-testid:
//
//   signin-key, signin-submit        the key and the button of the sign-in page
//   status                           the connection; data-status: connecting | open | reconnecting | closed
//   no-walls                         the warning that functions run without walls
//   bridge-<pid>                     a Node process (data-state: running | draining | late)
//   packages, packages-list          the form with how packages are installed (data-state: saved | changed | saving), and
//                                    its scopes and addresses with a token
//   packages-scripts,                what of it can be changed; packages-problem: why the hub refused
//   packages-registry,
//   packages-save, packages-problem
//   origins                          whose pages may act as the tenant
//   function-<name>                  a function in the list (a link)
//   call-args, call-submit,          the arguments, Call, Start durable, and what came of it
//   start-submit, call-result        (call-result has data-state: running | paused | succeeded | failed | started)
//   version-<version>, version-log   a version of the chosen function (data-state; it opens), and its install's log
//   execution-<id>, state-<id>       a row of the executions (a link) and its state (data-state)
//   detail, detail-state             the open execution (data-execution: its id) and its state (data-state)
//   pause, resume, resume-args,      what can be done with it; resume-args and resume while it is paused
//   cancel
//   send-type, send-data,            an event to send into it
//   send-submit
//   event-row                        one event of it (data-type, data-offset)
//   detail-result                    its result or error
//   streams                          the link to streams
//   stream                           their view (data-state: asking | live | paused | ended)
//   stream-pattern, stream-watch     a stream or pattern to watch
//   stream-pause, stream-clear       Pause or Resume, and Clear
//   stream-gap                       above an event before which some are missing

import { keyFromAddress } from './route.js'
import { Store } from './store.js'
import { shell } from './views/shell.js'
import { signin } from './views/signin.js'

const store = new Store({ key: keyFromAddress() })
const views = [signin(store), shell(store)]
document.getElementById('app').append(...views.map(view => view.element))

const update = () => {
  for (const view of views) view.update(store.state)
}
store.onchange = update
update()
store.begin()

// Time passes: running executions count their seconds while somebody looks.
setInterval(() => {
  if (!document.hidden && store.state.status !== 'signed-out') store.changed()
}, 1000)

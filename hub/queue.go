package hub

import "container/heap"

// queue is a tenant's executions that wait for a place. Each function has a lane; the lane whose
// first execution has the highest priority goes first, and among equals the one that went least
// recently, so that a function with many does not keep another waiting. Within a lane: by priority,
// then in the order of arrival. Guarded by the tenant's mu.
type queue struct {
	lanes map[string]*lane
	heap  laneHeap // the lanes that are not empty
	n     int
	seq   uint64 // counts arrivals and departures
}

type lane struct {
	function string
	waiting  waitingHeap
	served   uint64 // when it went last, in seq
	at       int    // in the heap
}

type waitingExecution struct {
	x        *Execution
	priority int
	seq      uint64
}

func newQueue() *queue { return &queue{lanes: map[string]*lane{}} }

func (q *queue) len() int { return q.n }

// of gives how many of a function wait.
func (q *queue) of(fn string) int {
	if l := q.lanes[fn]; l != nil {
		return len(l.waiting)
	}
	return 0
}

func (q *queue) push(x *Execution) {
	q.seq++
	l := q.lanes[x.rec.Function] // never changes, as its priority
	if l == nil {
		l = &lane{function: x.rec.Function, served: q.seq}
		q.lanes[x.rec.Function] = l
	}
	heap.Push(&l.waiting, waitingExecution{x, x.rec.Priority, q.seq})
	if len(l.waiting) == 1 {
		heap.Push(&q.heap, l)
	} else {
		heap.Fix(&q.heap, l.at)
	}
	q.n++
}

// pop gives the execution that goes next; nil if none waits.
func (q *queue) pop() *Execution {
	if q.n == 0 {
		return nil
	}
	q.n--
	q.seq++
	l := q.heap[0]
	x := heap.Pop(&l.waiting).(waitingExecution).x
	l.served = q.seq
	if len(l.waiting) == 0 {
		heap.Pop(&q.heap)
		delete(q.lanes, l.function)
	} else {
		heap.Fix(&q.heap, 0)
	}
	return x
}

// laneHeap is a heap of lanes that are not empty.
type laneHeap []*lane

func (h laneHeap) Len() int { return len(h) }
func (h laneHeap) Less(i, j int) bool {
	a, b := h[i].waiting[0].priority, h[j].waiting[0].priority
	return a > b || a == b && h[i].served < h[j].served
}
func (h laneHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}
func (h *laneHeap) Push(l any) {
	l.(*lane).at = len(*h)
	*h = append(*h, l.(*lane))
}
func (h *laneHeap) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return l
}

// waitingHeap is a heap of one function's waiting executions.
type waitingHeap []waitingExecution

func (h waitingHeap) Len() int { return len(h) }
func (h waitingHeap) Less(i, j int) bool {
	return h[i].priority > h[j].priority || h[i].priority == h[j].priority && h[i].seq < h[j].seq
}
func (h waitingHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *waitingHeap) Push(w any)   { *h = append(*h, w.(waitingExecution)) }
func (h *waitingHeap) Pop() any {
	old := *h
	w := old[len(old)-1]
	old[len(old)-1] = waitingExecution{}
	*h = old[:len(old)-1]
	return w
}

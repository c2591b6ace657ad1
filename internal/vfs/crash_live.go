package vfs

// Live returns what a reader sees at this point, all that was written and no failed
// sync has dropped: what a killed process leaves, when the machine goes on.
func (e *Explorer) Live() State {
	sum := e.live.hash() // before the copy, which shares what hash remembers
	return State{point: e.k, what: "killed", sum: sum, image: e.live.clone()}
}

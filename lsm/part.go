package lsm

// part is a list of requests that become visible together: the unsynced or the synced
// members of a group.
type part struct {
	head, tail *request
	ops        int
	ranges     int
	bytes      int64 // of keys and values
	payload    int64 // as the log holds it
	members    int
	scoped     bool  // a member is
	folds      int   // that members bring along
	foldBytes  int64 // of their keys and values
}

func (p *part) pushIf(r *request, yes bool) {
	if !yes {
		return
	}
	if p.tail == nil {
		p.head = r
	} else {
		p.tail.next = r
	}
	p.tail = r
	p.ops += r.ops
	p.ranges += r.ranges
	p.bytes += r.bytes
	p.folds += len(r.folds.list)
	p.foldBytes += r.folds.bytes
	p.payload += r.size()
	p.members++
	p.scoped = p.scoped || r.scoped
}

// fail gives every member the error and wakes all but self.
func (p *part) fail(err error, self *request) {
	for r := p.head; r != nil; {
		next := r.next // r is its writer's again once woken
		r.err = err
		if r != self {
			r.wake <- signalDone
		}
		r = next
	}
}

// wake wakes all members but self. Their outcomes stand in them.
func (p *part) wake(self *request) {
	for r := p.head; r != nil; {
		next := r.next // r is its writer's again once woken
		if r != self {
			r.wake <- signalDone
		}
		r = next
	}
}

// release wakes all members but self.
func (p *part) release(self *request) { p.fail(nil, self) }

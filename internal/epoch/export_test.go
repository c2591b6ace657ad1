package epoch

// Generation returns the generation in which Enter would count a reader now, and
// EnterIn counts one in it: Enter in two steps, between which a test may call Wait.
func (d *Domain) Generation() uint32     { return d.current.Load() }
func (d *Domain) EnterIn(g uint32) Guard { return d.enter(g) }

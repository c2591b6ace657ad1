package privacy

import "iter"

// Entry is a stored document with its name.
type Entry struct {
	// Name is whatever tells the caller which document it is, such as scope and key. It is
	// not looked into.
	Name string
	// Value is the document.
	Value any
}

// Report says what was found in an entry.
type Report struct {
	// Name is the entry's.
	Name string
	// Findings are what Protect would find, and protect. They are not empty.
	Findings []Finding
}

// Scan looks through documents that are stored already and yields a Report for each in which
// something is found that is not protected. It changes nothing. An entry that is no document
// is yielded with its name and error, and Scan goes on; an error of the source is yielded, and
// ends it.
func (p *Protector) Scan(entries iter.Seq2[Entry, error]) iter.Seq2[Report, error] {
	return func(yield func(Report, error) bool) {
		for e, err := range entries {
			if err != nil {
				yield(Report{}, err)
				return
			}
			findings, err := p.Find(e.Value)
			if len(findings) == 0 && err == nil {
				continue
			}
			if !yield(Report{Name: e.Name, Findings: findings}, err) {
				return
			}
		}
	}
}

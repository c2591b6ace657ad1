package report

import (
	"slices"
	"strings"

	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
)

// remark is how some engines did some workloads for which they have no operation.
type remark struct {
	engines, workloads []string
	text               string
}

// String is one line of text.
func (r remark) String() string {
	return strings.Join(r.workloads, ", ") + " on " + strings.Join(r.engines, ", ") + ": " + r.text
}

// remarks sums up the notes of runs: one for each text and list of workloads, in the order
// in which they appear.
func remarks(runs []result.Run) []remark {
	var each []remark // of one engine each
	for i := range runs {
		r := &runs[i]
		if r.Note == "" {
			continue
		}
		at := slices.IndexFunc(each, func(m remark) bool { return m.engines[0] == r.Engine && m.text == r.Note })
		if at < 0 {
			at = len(each)
			each = append(each, remark{engines: []string{r.Engine}, text: r.Note})
		}
		each[at].workloads = appendNew(each[at].workloads, r.Workload)
	}
	var all []remark
	for _, m := range each {
		same := func(o remark) bool { return o.text == m.text && slices.Equal(o.workloads, m.workloads) }
		if at := slices.IndexFunc(all, same); at >= 0 {
			all[at].engines = append(all[at].engines, m.engines...)
		} else {
			all = append(all, m)
		}
	}
	return all
}

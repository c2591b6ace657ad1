package workload

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/loamdb/loam/cmd/lsmbench/internal/dist"
	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
)

// Spec says everything about one run: the child process that does it is told nothing
// else. Its JSON form is what crosses the pipe.
type Spec struct {
	Group    string        `json:"group,omitempty"`
	Workload string        `json:"workload"`
	Engine   string        `json:"engine"`
	Repeat   int           `json:"repeat"`
	Dir      string        `json:"dir"`
	Config   engine.Config `json:"config"`
	Params
}

// Params are what a workload is run with, the same for every engine.
type Params struct {
	// Records is how many keys there are.
	Records uint64 `json:"records"`
	// Key and Value are sizes, as package dist parses them; a Key may also be HashedKeys.
	Key   string `json:"key"`
	Value string `json:"value"`
	// Compressible is the share to which a compressor can bring values, above 0 to 1.
	Compressible float64 `json:"compressible"`
	// Chooser overrides which records a workload of random ones chooses.
	Chooser string `json:"chooser,omitempty"`
	// Sync has every write of documents be on the device before the next.
	Sync bool `json:"sync,omitempty"`
	// Goroutines that share the operations.
	Goroutines int    `json:"goroutines"`
	Seed       uint64 `json:"seed"`
	// Limit ends a workload that need not go through all keys. WriteLimit ends the ones
	// that write every key, too; 0 lets them finish.
	Limit      time.Duration `json:"limit_ns"`
	WriteLimit time.Duration `json:"write_limit_ns"`
	// Warm is how long a reading workload runs before it is measured.
	Warm time.Duration `json:"warm_ns"`
	// Rest is how long a store stays open at rest in which data has died, or that others
	// will read, for what engines put off until then. Nobody is charged for it.
	Rest time.Duration `json:"rest_ns"`
	// Rate of operations per second, over all goroutines, at which they are issued
	// whether or not the earlier ones have ended; 0 issues each when the one before
	// ends.
	Rate float64 `json:"rate,omitempty"`
}

// Choice is a workload as it stands in a list: NAME, or NAME@GOROUTINES.
type Choice struct {
	Name       string // as shown, with its @
	Workload   *Workload
	Goroutines int // 0: those of the run
}

// Find resolves a workload: a name of All, or a mix such as read=95,update=5.
func Find(text string) (Choice, error) {
	c := Choice{Name: text}
	base, suffix, has := strings.Cut(text, "@")
	if has {
		n, err := strconv.Atoi(suffix)
		if err != nil || n < 1 {
			return c, fmt.Errorf("workload %q: %q is no number of goroutines", text, suffix)
		}
		c.Goroutines = n
	}
	if strings.Contains(base, "=") {
		w, err := parseMix(base)
		c.Workload = w
		return c, err
	}
	i := slices.IndexFunc(all, func(w *Workload) bool { return w.Name == base })
	if i < 0 {
		return c, fmt.Errorf("workload %q is unknown; lsmbench help lists them", text)
	}
	c.Workload = all[i]
	return c, nil
}

// ParseList resolves workloads separated by spaces or semicolons, or by commas where no
// mix is among them.
func ParseList(list string) ([]Choice, error) {
	split := func(r rune) bool { return r == ' ' || r == ';' }
	if !strings.Contains(list, "=") {
		split = func(r rune) bool { return r == ' ' || r == ';' || r == ',' }
	}
	var chosen []Choice
	for _, name := range strings.FieldsFunc(list, split) {
		c, err := Find(name)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(chosen, func(o Choice) bool { return o.Name == c.Name }) {
			return nil, fmt.Errorf("workload %q is named twice", name)
		}
		chosen = append(chosen, c)
	}
	if len(chosen) == 0 {
		return nil, errors.New("no workload is named")
	}
	return chosen, nil
}

// Check reports what is wrong with the parameters.
func (p *Params) Check() error {
	switch {
	case p.Records < 1 || p.Goroutines < 1:
		return errors.New("records and goroutines must be at least 1")
	case uint64(p.Goroutines) > p.Records:
		return errors.New("there are more goroutines than records")
	case p.Limit <= 0 || p.WriteLimit < 0 || p.Warm < 0 || p.Rest < 0 || p.Rate < 0:
		return errors.New("times and rates must not be negative, and the limit of reads not zero")
	}
	_, err := newData(p)
	return err
}

// data makes the keys and values of a run.
type data struct {
	keys   keyspace
	values *dist.Values
	value  dist.Size
	choose string
}

// keyspace makes the keys of records.
type keyspace interface {
	// Present appends the key of record i, Missing one that follows it and is not there.
	Present(dst []byte, i uint64) []byte
	Missing(dst []byte, i uint64) []byte
	// Last is the last record that a key can number.
	Last() uint64
	MaxLen() int
	MeanLen() float64
}

// HashedKeys is the key size by which keys are made as YCSB makes them: not in the order
// of the records.
const HashedKeys = "ycsb"

// hashedKeys are the keys of YCSB.
type hashedKeys struct{}

func (hashedKeys) Present(dst []byte, i uint64) []byte { return dist.YCSBKey(dst, i) }

func (hashedKeys) Missing(dst []byte, i uint64) []byte { return append(dist.YCSBKey(dst, i), '+') }

func (hashedKeys) Last() uint64 { return math.MaxUint64 - 1 }

// The prefix "user" and up to 19 digits, of which most keys have all.
func (hashedKeys) MaxLen() int      { return 4 + 20 }
func (hashedKeys) MeanLen() float64 { return 4 + 18.9 }

func newKeyspace(p *Params) (keyspace, error) {
	if p.Key == HashedKeys {
		return hashedKeys{}, nil
	}
	size, err := dist.ParseSize(p.Key)
	if err != nil {
		return nil, fmt.Errorf("key size: %w", err)
	}
	return dist.NewKeyspace(p.Records, size)
}

func newData(p *Params) (*data, error) {
	keys, err := newKeyspace(p)
	if err != nil {
		return nil, err
	}
	value, err := dist.ParseSize(p.Value)
	if err != nil {
		return nil, fmt.Errorf("value size: %w", err)
	}
	values, err := dist.NewValues(value, p.Compressible, p.Seed)
	if err != nil {
		return nil, err
	}
	if p.Chooser != "" {
		if _, err := dist.ParseChooser(p.Chooser, p.Records); err != nil {
			return nil, err
		}
	}
	return &data{keys: keys, values: values, value: value, choose: p.Chooser}, nil
}

// chooser returns a chooser for each goroutine: the one asked for, or the workload's.
func (d *data) chooser(own string, n uint64) (dist.Factory, error) {
	if d.choose != "" {
		own = d.choose
	}
	return dist.ParseChooser(own, n)
}

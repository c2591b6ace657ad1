package codec

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// field is an exported field of a struct, or of a struct embedded in it.
type field struct {
	name      string // the key in the map
	lead      string // its encoding, "" if it has none
	index     []int  // as reflect.Value.FieldByIndex takes it
	shape     *shape
	omitEmpty bool
	optional  bool // behind an embedded pointer, which may be nil
	aliased   bool // it is read under another name, too

	form   form // what is set in its place,
	offset uintptr
}

// fields of a struct.
type fields struct {
	list   []field        // in the order of their names
	byName map[string]int // places in list, of names and aliases
	fixed  bool           // every field is always written
}

// structFields lists the fields of t: those that are exported and not tagged "-", under the
// names of their tags, and those of embedded structs, unless these are tagged noinline or have
// methods of their own. Of two fields of one name the one that is embedded less deep counts.
// It returns the reason if t cannot be written as a map.
func (b builder) structFields(t reflect.Type) (*fields, string) {
	c := collector{b: b, byName: map[string]int{}, alias: map[string]string{}, at: map[reflect.Type]bool{}}
	c.collect(t, nil, false)
	switch {
	case c.clash != "":
		return nil, fmt.Sprintf("a struct with two fields called %q", c.clash)
	case len(c.list) == 0 && t.NumField() > 0 && !c.ignored:
		return nil, "a struct without exported fields"
	}
	slices.SortFunc(c.list, func(x, y field) int { return strings.Compare(x.name, y.name) })
	f := &fields{list: c.list, byName: map[string]int{}, fixed: true}
	for i := range f.list {
		x := &f.list[i]
		if lead, err := Append(nil, x.name, nil); err == nil {
			x.lead = string(lead)
		}
		x.place(t)
		f.byName[x.name] = i
		f.fixed = f.fixed && !x.omitEmpty && !x.optional
	}
	for alias, name := range c.alias {
		if _, taken := f.byName[alias]; !taken {
			f.byName[alias] = f.byName[name]
			f.list[f.byName[name]].aliased = true
		}
	}
	return f, ""
}

// collector gathers the fields of one struct.
type collector struct {
	b       builder
	list    []field
	byName  map[string]int
	alias   map[string]string // to the field's name
	at      map[reflect.Type]bool
	ignored bool   // a field is tagged "-"
	clash   string // a name that two fields at one depth have
}

// tag is a field's msgpack tag.
type tag struct {
	name, alias                  string
	skip, omitEmpty, neverInline bool
}

func parseTag(f reflect.StructField) tag {
	parts := strings.Split(f.Tag.Get("msgpack"), ",")
	t := tag{name: strings.TrimSpace(parts[0])}
	if t.name == "-" {
		t.skip = true
	}
	for _, option := range parts[1:] {
		switch option = strings.TrimSpace(option); {
		case option == "omitempty":
			t.omitEmpty = true
		case option == "noinline":
			t.neverInline = true
		case strings.HasPrefix(option, "alias:"):
			t.alias = strings.TrimPrefix(option, "alias:")
		}
	}
	if t.name == "" {
		t.name = f.Name
	}
	return t
}

// collect adds the fields of t, which lies at index.
func (c *collector) collect(t reflect.Type, index []int, optional bool) {
	if c.at[t] {
		return // a struct that embeds a pointer to itself
	}
	c.at[t] = true
	defer delete(c.at, t)
	omitAll := false
	if f, ok := t.FieldByName("_msgpack"); ok && len(f.Index) == 1 {
		omitAll = parseTag(f).omitEmpty
	}
	for i := range t.NumField() {
		f := t.Field(i)
		tag := parseTag(f)
		if tag.skip {
			c.ignored = true
			continue
		}
		at := append(slices.Clone(index), i)
		if inner := inlined(f, tag); inner != nil {
			c.collect(inner, at, optional || f.Type.Kind() == reflect.Pointer)
			continue
		}
		if !f.IsExported() {
			continue
		}
		c.add(field{
			name: tag.name, index: at, shape: c.b.shape(f.Type),
			omitEmpty: tag.omitEmpty || omitAll, optional: optional,
		})
		if tag.alias != "" {
			c.alias[tag.alias] = tag.name
		}
	}
}

// inlined returns the struct whose fields stand in the place of f, or nil.
func inlined(f reflect.StructField, tag tag) reflect.Type {
	if !f.Anonymous || tag.neverInline {
		return nil
	}
	t := f.Type
	if t.Kind() == reflect.Pointer {
		if t = t.Elem(); !f.IsExported() {
			return nil // nobody else can set it
		}
	}
	if t.Kind() != reflect.Struct || t == timeType {
		return nil
	}
	if write, _ := methodsOf(t); write != methodNone {
		return nil
	}
	return t
}

func (c *collector) add(f field) {
	i, taken := c.byName[f.name]
	switch {
	case !taken:
		c.byName[f.name] = len(c.list)
		c.list = append(c.list, f)
	case len(f.index) < len(c.list[i].index):
		c.list[i] = f
	case len(f.index) == len(c.list[i].index):
		c.clash = f.name
	}
}

package index

import (
	"fmt"
	"strings"
)

// Key is the name by which conditions and orders speak of a document's key. It is a string.
const Key = "$key"

// Query says which documents are wanted, and in which order.
type Query struct {
	// Where are conditions, all of which hold. Those on one field hold for one and the same of its
	// values, if it has several, and those on fields of one function for one of its entries.
	Where []Cond
	// Order is by which fields the documents are sorted, the first counting most. Without any the
	// order is that of the plan. A document with several values for a field stands where the first
	// of those stands that meet the conditions.
	Order []Order
	// Limit is how many documents there are at most: 0 means DefaultLimit, and more than MaxLimit
	// is refused.
	Limit int
	// After goes on behind a page of the same query: with its conditions and its order. The limit
	// may be another.
	After Token
}

// Limits of queries.
const (
	DefaultLimit = 100
	MaxLimit     = 10_000
	// MaxTerms is how many conditions, and how many orders, a query may have.
	MaxTerms = 16
)

// Op is how a condition compares.
type Op uint8

// Operators. All but Equal hold for values of the operand's kind alone, where all numbers are of
// one kind. Missing values are nil, which is Equal to nil and compares with nothing.
const (
	Equal Op = iota
	Less
	AtMost
	Greater
	AtLeast
	HasPrefix // of a string, or of Key
)

var opNames = [...]string{"=", "<", "<=", ">", ">=", "begins with"}

// String returns the operator as queries are usually written.
func (o Op) String() string {
	if int(o) < len(opNames) {
		return opNames[o]
	}
	return fmt.Sprintf("op(%d)", uint8(o))
}

// Cond is a condition on a field.
type Cond struct {
	// Field is a path, as Def.Fields has them, or a name of what a function computes, or Key.
	Field string
	// Op says how the field's value compares with Value.
	Op Op
	// Value is of any Go type that codec.Append takes.
	Value any
}

// Eq is the condition that a field is equal to v: numbers by amount, whatever their type.
func Eq(field string, v any) Cond { return Cond{field, Equal, v} }

// Lt is the condition that a field is less than v.
func Lt(field string, v any) Cond { return Cond{field, Less, v} }

// Le is the condition that a field is at most v.
func Le(field string, v any) Cond { return Cond{field, AtMost, v} }

// Gt is the condition that a field is greater than v.
func Gt(field string, v any) Cond { return Cond{field, Greater, v} }

// Ge is the condition that a field is at least v.
func Ge(field string, v any) Cond { return Cond{field, AtLeast, v} }

// Prefix is the condition that a field is a string that begins with v.
func Prefix(field, v string) Cond { return Cond{field, HasPrefix, v} }

// Order sorts by a field: nil first, then false, true, numbers, times, strings, bytes, lists.
type Order struct {
	// Field is as in Cond.
	Field string
	// Desc turns the order round.
	Desc bool
}

// Asc sorts by a field, the least first.
func Asc(field string) Order { return Order{Field: field} }

// Desc sorts by a field, the greatest first.
func Desc(field string) Order { return Order{Field: field, Desc: true} }

// String returns the order in words.
func (o Order) String() string {
	if o.Desc {
		return o.Field + " descending"
	}
	return o.Field
}

func joinOrders(orders []Order) string {
	parts := make([]string, len(orders))
	for i, o := range orders {
		parts[i] = o.String()
	}
	return strings.Join(parts, ", ")
}

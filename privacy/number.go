package privacy

import "github.com/loamdb/loam/internal/mutant"

// card returns where a card number ends that begins at i, with the digits [i, end), or 0: 12
// to 19 digits together, or in groups with one space or dash between, as they are printed.
func card(s string, i, end int) int {
	if !begins(s, i) {
		return 0
	}
	if end-i != 4 {
		if ends(s, end) && issuedCard(s[i:end]) {
			return end
		}
		return 0
	}
	sep := s[end]
	if sep != ' ' && sep != '-' {
		return 0
	}
	var stops [5]int // where each group ends
	var sizes [5]int
	stops[0], sizes[0] = end, 4
	groups := 1
	for ; groups < len(stops) && at(s, stops[groups-1]) == sep; groups++ {
		from := stops[groups-1] + 1
		to := from
		for to < len(s) && to-from <= 6 && isDigit(s[to]) {
			to++
		}
		if to == from {
			break
		}
		stops[groups], sizes[groups] = to, to-from
	}
	for n := groups; n >= 3; n-- {
		stop := stops[n-1]
		if cardGroups(sizes[1:n]) && ends(s, stop) && issuedCard(s[i:stop]) && (sep != ' ' || !amongGroups(s, i, stop)) {
			return stop
		}
	}
	return 0
}

// amongGroups reports whether a group of four signs, the last a digit, stands before or after:
// part of a longer number. Up to three digits after a card may be its code, or the month.
func amongGroups(s string, from, to int) bool {
	before := from >= 5 && s[from-1] == ' ' && isDigit(s[from-2]) && runEnd(s[:from-1], from-5, classBase) == from-1
	return before || to+5 <= len(s) && s[to] == ' ' && runEnd(s[:to+5], to+1, classBase) == to+5 && isDigit(s[to+4])
}

// cardGroups reports whether cards are printed in such groups, after a first one of four.
func cardGroups(sizes []int) bool {
	switch len(sizes) {
	case 2:
		return sizes[0] == 4 && sizes[1] == 5 || sizes[0] == 6 && (sizes[1] == 4 || sizes[1] == 5)
	case 3:
		return sizes[0] == 4 && sizes[1] == 4 && sizes[2] == 4
	case 4:
		return sizes[0] == 4 && sizes[1] == 4 && sizes[2] == 4 && sizes[3] <= 3
	}
	return false
}

// issuedCard reports whether some issuer gives out cards with the first digits and the length
// of the number, and whether its check digit is right (Luhn, ISO/IEC 7812-1).
func issuedCard(number string) bool {
	prefix, n, sum := 0, 0, 0
	for i := len(number) - 1; i >= 0; i-- {
		if d := int(number[i] - '0'); d >= 0 && d <= 9 {
			if n++; n%2 == 0 {
				if d *= 2; d > 9 {
					d -= 9
				}
			}
			sum += d
		}
	}
	if sum%10 != 0 && !(mutant.Enabled && mutant.Is(mutant.IgnoreCheckDigit)) {
		return false
	}
	for i, got := 0, 0; got < 6; i++ {
		if isDigit(number[i]) {
			prefix = prefix*10 + int(number[i]-'0')
			got++
		}
	}
	for _, r := range issuers {
		if prefix >= r.from && prefix <= r.to {
			return r.lens&(1<<n) != 0
		}
	}
	return false
}

// issuer is a range of the first six digits, with the set of the lengths of its numbers.
type issuer struct {
	from, to int
	lens     uint32
}

const (
	only15 = 1 << 15
	only16 = 1 << 16
	from16 = only16 | 1<<17 | 1<<18 | 1<<19
	from14 = from16 | 1<<14 | only15
	from12 = from14 | 1<<12 | 1<<13
)

// issuers are the ranges in use, by the published tables of the networks. The first that
// holds a prefix decides.
var issuers = []issuer{
	{400000, 499999, 1<<13 | only16 | 1<<19}, // Visa
	{510000, 559999, only16},                 // Mastercard
	{222100, 272099, only16},                 // Mastercard
	{340000, 349999, only15},                 // American Express
	{370000, 379999, only15},                 // American Express
	{601100, 601199, from16},                 // Discover
	{644000, 659999, from16},                 // Discover, RuPay, Troy
	{300000, 305999, from14},                 // Diners Club
	{309500, 309599, from14},                 // Diners Club
	{360000, 369999, from14},                 // Diners Club
	{380000, 399999, from14},                 // Diners Club
	{352800, 358999, from16},                 // JCB
	{620000, 629999, from16},                 // UnionPay
	{810000, 817199, from16},                 // UnionPay
	{501800, 501899, from12},                 // Maestro
	{501900, 501999, only16},                 // Dankort
	{502000, 502099, from12},                 // Maestro
	{503800, 503899, from12},                 // Maestro
	{589300, 589399, from12},                 // Maestro
	{630400, 630499, from12},                 // Maestro
	{675900, 675999, from12},                 // Maestro
	{676100, 676399, from12},                 // Maestro
	{220000, 220499, from16},                 // Mir
	{506099, 506198, from16},                 // Verve
	{507865, 507964, from16},                 // Verve
	{508000, 508999, only16},                 // RuPay
	{607000, 608999, only16},                 // RuPay
	{817200, 829999, only16},                 // RuPay
	{979200, 979299, only16},                 // Troy
}

// ssn returns where a social security number ends that begins at i, or 0: three, two and four
// digits with dashes or spaces between. Areas 000, 666 and 900 up, group 00 and serial 0000
// are not given out; two numbers stood in advertisements and were withdrawn.
func ssn(s string, i int) int {
	end := i + len("078-05-1120")
	if end > len(s) {
		return 0
	}
	number := s[i:end]
	sep := number[3]
	if sep != '-' && sep != ' ' || number[6] != sep || !begins(s, i) || !ends(s, end) {
		return 0
	}
	area, ok1 := decimal(number[0:3])
	group, ok2 := decimal(number[4:6])
	serial, ok3 := decimal(number[7:11])
	switch {
	case !ok1 || !ok2 || !ok3 || area == 0 || area == 666 || area >= 900 || group == 0 || serial == 0:
		return 0
	case area == 78 && group == 5 && serial == 1120 || area == 219 && group == 9 && serial == 9999:
		return 0
	}
	return end
}

// decimal returns the number that a few digits write.
func decimal(digits string) (int, bool) {
	n := 0
	for i := range len(digits) {
		if !isDigit(digits[i]) {
			return 0, false
		}
		n = n*10 + int(digits[i]-'0')
	}
	return n, true
}

// ipv4 returns where an address ends that begins at i, or 0: four numbers up to 255 without
// leading zeros. A slash may stand before it, after anything but a word: what follows the
// name of a program is its version. So is what a dash or a plus goes on.
func ipv4(s string, i int) int {
	if i > 0 && is(s[i-1], classJoint) && (s[i-1] != '/' || isWord(at(s, i-2))) {
		return 0
	}
	for part := 0; ; part++ {
		n, from := 0, i
		for i < len(s) && i-from < 3 && isDigit(s[i]) {
			n = n*10 + int(s[i]-'0')
			i++
		}
		if i == from || n > 255 || i-from > 1 && s[from] == '0' {
			return 0
		}
		if part == 3 {
			break
		}
		if at(s, i) != '.' {
			return 0
		}
		i++
	}
	if at(s, i) != '/' && !ends(s, i) { // a port or a path may follow, and a mask
		return 0
	}
	return i
}

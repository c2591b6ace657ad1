package privacy_test

import (
	"encoding/base64"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/privacy"
)

// The oracle says again what the detectors find, place by place, with regular expressions and
// the standard library, and in no way fast (P4).

// pattern is what one detector finds where it begins: the longest text that the expression
// matches as a whole, with the sides as they must be.
type pattern struct {
	detector    privacy.Detector
	first       string // the bytes with which it can begin
	body        *regexp.Regexp
	left, right *regexp.Regexp // what must stand before and after
	maxLen      int
	check       func(body string) bool
}

var (
	wordLeft  = regexp.MustCompile(`(^|[^A-Za-z0-9_])$`)
	tokenLeft = regexp.MustCompile(`(^|[^A-Za-z0-9_-])$`)
	numLeft   = regexp.MustCompile(`(^|[^A-Za-z0-9_.\-/+#$~])$`)
	ipLeft    = regexp.MustCompile(`(^|[^A-Za-z0-9_.\-/+#$~]|(^|[^A-Za-z0-9_])/)$`)
	wordRight = regexp.MustCompile(`^($|[^A-Za-z0-9_])`)
	tokRight  = regexp.MustCompile(`^($|[^A-Za-z0-9_-])`)
	numRight  = regexp.MustCompile(`^($|[^A-Za-z0-9_.\-/+#$~]|\.($|[^0-9])|[\-/+#$~]($|[^A-Za-z0-9_]))`)
	ipRight   = regexp.MustCompile(`^($|/|[^A-Za-z0-9_.\-/+#$~]|\.($|[^0-9])|[\-+#$~]($|[^A-Za-z0-9_]))`)
)

func whole(body string) *regexp.Regexp { return regexp.MustCompile(`^(?:` + body + `)$`) }

func digitsOf(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, s)
}

var networks = whole(strings.Join([]string{
	`4(\d{12}|\d{15}|\d{18})`, `5[1-5]\d{14}`, `2(22[1-9]|2[3-9]\d|[3-6]\d\d|70\d|71\d|720)\d{12}`, `3[47]\d{13}`, `6011\d{12,15}`,
	`6(4[4-9]|5\d)\d{13,16}`, `3(0[0-5]|095|6|8|9)\d*`, `35(2[89]|[3-8]\d)\d{12,15}`, `62\d{14,17}`, `81(0\d|1[0-6]|[0-9]{2})\d{12,15}`,
	`(5018|5020|5038|5893|6304|6759|676[123])\d{8,15}`, `5019\d{12}`, `220[0-4]\d{12,15}`, `50(6099|61\d\d|78[6-9]\d|79[0-6]\d)\d{10,13}`,
	`508\d{13}`, `60[78]\d{13}`, `82\d{14}`, `9792\d{12}`}, "|"))

func isCard(s string) bool {
	number := digitsOf(s)
	if !networks.MatchString(number) {
		return false
	}
	n := len(number)
	switch prefix := number[:6]; {
	case number[0] == '3' && (strings.HasPrefix(number, "30") || strings.HasPrefix(number, "36") || number[1] == '8' || number[1] == '9'):
		if n < 14 || n > 19 {
			return false
		}
	case strings.HasPrefix(number, "81"):
		if prefix >= "817200" && n != 16 {
			return false
		}
	case strings.HasPrefix(number, "50"):
		verve := prefix >= "506099" && prefix <= "506198" || prefix >= "507865" && prefix <= "507964"
		if !verve && !strings.HasPrefix(number, "508") && !strings.HasPrefix(number, "5018") && !strings.HasPrefix(number, "5019") &&
			!strings.HasPrefix(number, "5020") && !strings.HasPrefix(number, "5038") {
			return false
		}
	}
	sum := 0
	for i := range n {
		d := int(number[n-1-i] - '0')
		if i%2 == 1 {
			d = d/5 + d*2%10
		}
		sum += d
	}
	return sum%10 == 0
}

func isIBAN(s string) bool {
	s = strings.ReplaceAll(s, " ", "")
	if len(s) != privacy.IBANLength(s[:2]) {
		return false
	}
	var number strings.Builder
	for _, c := range s[4:] + s[:4] {
		if c >= 'A' {
			fmt.Fprint(&number, int(c-'A')+10)
		} else {
			number.WriteRune(c)
		}
	}
	n, ok := new(big.Int).SetString(number.String(), 10)
	return ok && new(big.Int).Mod(n, big.NewInt(97)).Int64() == 1
}

var dialling = map[int]string{1: `[2-9]\d\d[2-9]\d{6}`, 7: `\d{10}`, 30: `\d{10}`, 31: `\d{9}`, 32: `\d{8,9}`, 33: `\d{9}`, 34: `\d{9}`,
	39: `\d{8,11}`, 41: `\d{9}`, 44: `\d{9,10}`, 45: `\d{8}`, 46: `\d{7,10}`, 47: `\d{8}`, 48: `\d{9}`, 49: `\d{7,12}`, 52: `\d{10}`,
	55: `\d{10,11}`, 61: `\d{9}`, 65: `\d{8}`, 81: `\d{9,10}`, 82: `\d{8,10}`, 86: `\d{10,11}`, 91: `\d{10}`, 351: `\d{9}`, 353: `\d{7,9}`,
	354: `\d{7}`, 358: `\d{6,11}`, 420: `\d{9}`, 421: `\d{9}`}

func isE164(s string) bool {
	opened := strings.Count(s, "(")
	if opened > 1 || strings.Count(s, ")") != opened || strings.IndexByte(s, ')') < strings.IndexByte(s, '(') {
		return false
	}
	number := digitsOf(strings.Replace(s, "(0)", "", 1))
	if n := len(number); n > 15 || n < 8 || n < 10 && digitsOf(s) == s[1:] {
		return false
	}
	for size := 1; size <= 3; size++ {
		code := 0
		fmt.Sscan(number[:size], &code)
		if !privacy.CallingCode(code) {
			continue
		}
		form, ok := dialling[code]
		if !ok {
			form = `\d{7,12}`
		}
		if code == 1 && (number[2:4] == "11" || number[5:7] == "11") {
			return false
		}
		return whole(form).MatchString(number[size:])
	}
	return false
}

// oneSep makes an expression for groups of digits with one of the separators between all.
func oneSep(seps string, groups ...string) string {
	var out []string
	for _, sep := range seps {
		out = append(out, strings.Join(groups, regexp.QuoteMeta(string(sep))))
	}
	return strings.Join(out, "|")
}

func zeroForms(first func(n int) string, seps string) string {
	var out []string
	add := func(head int, rest ...string) {
		if first(head) != "" {
			out = append(out, oneSep(seps, append([]string{first(head)}, rest...)...))
		}
	}
	for head := 3; head <= 5; head++ {
		for n := 6; n <= 8; n++ {
			if head+n >= 10 && head+n <= 12 {
				add(head, fmt.Sprintf(`\d{%d}`, n))
			}
		}
	}
	add(3, `\d{4}`, `\d{4}`)
	add(4, `\d{3}`, `\d{4}`)
	add(5, `\d{3}`, `\d{3}`)
	add(2, `\d{4}`, `\d{4}`)
	add(4, `\d{3}`, `\d{3}`)
	add(2, `\d\d`, `\d\d`, `\d\d`, `\d\d`)
	return strings.Join(out, "|")
}

func zeroHead(n int) string { return fmt.Sprintf(`0[1-9]\d{%d}`, n-2) }

// zeroBrackets are the same forms with the first group in brackets: what follows them, if
// anything separates it, is a space or nothing, and the rest has one separator.
func zeroBrackets() string {
	var out []string
	for _, sep := range []string{" ", "-", `\.`, "/"} {
		for _, form := range []string{`{3}|\d{4}|\d{4}`, `{4}|\d{3}|\d{4}`, `{5}|\d{3}|\d{3}`, `{2}|\d{4}|\d{4}`, `{4}|\d{3}|\d{3}`,
			`{2}|\d\d|\d\d|\d\d|\d\d`, `{3}|\d{7}`, `{3}|\d{8}`, `{4}|\d{6}`, `{4}|\d{7}`, `{4}|\d{8}`, `{5}|\d{6}`, `{5}|\d{7}`} {
			parts := strings.Split(form, "|")
			n := int(parts[0][1] - '0')
			out = append(out, `\(`+zeroHead(n)+`\) ?`+strings.Join(parts[1:], sep))
		}
	}
	return strings.Join(out, "|")
}

var american = oneSep(" -.", `[2-9]\d\d`, `[2-9]\d\d`, `\d{4}`) + `|\([2-9]\d\d\) ?[2-9]\d\d[ .-]\d{4}`

var notService = func(s string) bool {
	number := strings.TrimPrefix(digitsOf(s), "1")
	return number[0] == '0' || number[1:3] != "11" && number[4:6] != "11"
}

const capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

var patterns = []pattern{
	{privacy.Card, "0123456789", whole(`\d{12,19}|` + oneSep(" -", `\d{4}`, `\d{4}`, `\d{4}`, `\d{4}`) + "|" + oneSep(" -", `\d{4}`, `\d{4}`, `\d{4}`, `\d{4}`, `\d{1,3}`) + "|" +
		oneSep(" -", `\d{4}`, `\d{6}`, `\d{4,5}`) + "|" + oneSep(" -", `\d{4}`, `\d{4}`, `\d{5}`)), numLeft, numRight, 24, isCard},
	{privacy.IBAN, capitals, whole(`[A-Z]{2}\d\d[A-Z0-9]{11,30}|[A-Z]{2}\d\d( [A-Z0-9]{4}){2,7}( [A-Z0-9]{1,4})?`), tokenLeft, numRight, 42, isIBAN},
	{privacy.SSN, "0123456789", whole(oneSep(" -", `\d{3}`, `\d\d`, `\d{4}`)), numLeft, numRight, 11, func(s string) bool {
		return !regexp.MustCompile(`^(000|666|9)|^....00|0000$|^078.05.1120|^219.09.9999`).MatchString(s)
	}},
	{privacy.Phone, "+", whole(`\+[1-9](([ .-]?\(|\)[ -]?|[ .-]|[ .-]?\(0\)[ -]?)?\d){6,15}`), regexp.MustCompile(`(^|[^A-Za-z0-9_+])$`), numRight, 60, isE164},
	{privacy.Phone, "(123456789", whole(`(1[ .-])?(` + american + `)`), numLeft, numRight, 18, notService},
	{privacy.Phone, "0", whole(zeroForms(zeroHead, "-./ ")), numLeft, numRight, 18, nil},
	{privacy.Phone, "(", whole(zeroBrackets()), numLeft, numRight, 18, nil},
	{privacy.IPv4, "0123456789", whole(`\d{1,3}(\.\d{1,3}){3}`), ipLeft, ipRight, 15, func(s string) bool {
		a, err := netip.ParseAddr(s)
		return err == nil && a.Is4()
	}},
	{privacy.AWS, "A", whole(`(AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}`), wordLeft, wordRight, 20, nil},
	{privacy.GitHub, "g", whole(`gh[oprsu]_[A-Za-z0-9]{36,251}|github_pat_\w{60,244}`), wordLeft, wordRight, 300, nil},
	{privacy.Slack, "x", whole(`(xox[abcdeoprs]-|xapp-)[\w-]*`), tokenLeft, tokRight, 1000, func(s string) bool {
		return len(s) >= 25 && strings.ContainsAny(s[4:min(len(s), 68)], "0123456789")
	}},
	{privacy.Anthropic, "s", whole(`sk-ant-[A-Za-z0-9_]{1,8}-[\w-]{24,}`), tokenLeft, tokRight, 1000, func(s string) bool {
		return strings.ContainsAny(s[7:min(len(s), 71)], "0123456789")
	}},
	{privacy.OpenAI, "s", whole(`sk-[\w-]*`), tokenLeft, tokRight, 1000, func(s string) bool {
		return !strings.HasPrefix(s, "sk-ant-") && strings.ContainsAny(s[:min(len(s), 64)], "0123456789") &&
			(len(s) >= 40 && regexp.MustCompile(`^sk-(proj|svcacct|admin)-|T3BlbkFJ`).MatchString(s) || regexp.MustCompile(`^sk-[A-Za-z0-9]{48}$`).MatchString(s))
	}},
	{privacy.JWT, "e", whole(`eyJ[\w-]*\.ey[\w-]*\.[\w-]*`), regexp.MustCompile(`(^|[^A-Za-z0-9_.-])$`), tokRight, 2000, func(s string) bool {
		head, _, _ := strings.Cut(s, ".")
		head = head[:min(len(head), 1024)]
		decoded, err := base64.RawURLEncoding.DecodeString(head)
		return err == nil && strings.Contains(string(decoded), `"alg"`)
	}},
}

// oracle returns the candidates of every detector.
func oracle(s string) []privacy.Finding {
	var out []privacy.Finding
	add := func(d privacy.Detector, start, end int) {
		out = append(out, privacy.Finding{Detector: d, Start: start, End: end})
	}
	for start := 0; start < len(s); {
		if end := privacy.MarkEnd(s, start); end > 0 {
			start = end
			continue
		}
		for _, p := range patterns {
			if strings.IndexByte(p.first, s[start]) < 0 || !p.left.MatchString(s[max(0, start-4):start]) {
				continue
			}
			for end := min(len(s), start+p.maxLen); end > start; end-- {
				body := s[start:end]
				if p.body.MatchString(body) && p.right.MatchString(s[end:min(len(s), end+4)]) && (p.check == nil || p.check(body)) && !inRow(p.detector, s, start, end) {
					add(p.detector, start, end)
					break
				}
			}
		}
		start++
	}
	for _, look := range []func(s string, add func(d privacy.Detector, start, end int)){oracleEmail, oracleIPv6, oraclePEM, oracleAssignments} {
		look(s, func(d privacy.Detector, start, end int) { add(d, start, end) })
	}
	return out
}

// inRow reports whether a national number with spaces or card with spaces stands in a row of numbers.
func inRow(d privacy.Detector, s string, start, end int) bool {
	body := s[start:end]
	if d == privacy.Card && strings.Contains(body, " ") {
		return regexp.MustCompile(`[A-Z0-9]{3}\d $`).MatchString(s[:start]) || regexp.MustCompile(`^ [A-Z0-9]{3}\d`).MatchString(s[end:])
	}
	if d != privacy.Phone || body[0] == '+' {
		return false
	}
	inRow := strings.Contains(strings.TrimPrefix(body, "1 "), " ")
	if bracket := strings.IndexByte(body, '('); bracket >= 0 {
		inRow = body[bracket+1] == '0'
	}
	return inRow && (regexp.MustCompile(`\d $`).MatchString(s[:start]) || regexp.MustCompile(`^ \d`).MatchString(s[end:]))
}

// marksIn returns the bytes of s that belong to marks.
func marksIn(s string) func(i int) bool {
	var marks [][2]int
	for i := 0; i < len(s); i++ {
		if end := privacy.MarkEnd(s, i); end > 0 {
			marks = append(marks, [2]int{i, end})
			i = end - 1
		}
	}
	return func(i int) bool {
		return slices.ContainsFunc(marks, func(m [2]int) bool { return i >= m[0] && i < m[1] })
	}
}

func nearLetter(r rune) bool { return r >= 0x80 && r < 0x800 && r != '\uFFFD' && unicode.IsLetter(r) }

func oracleEmail(s string, add func(privacy.Detector, int, int)) {
	marked := marksIn(s)
	for i := range len(s) {
		if s[i] != '@' || marked(i) {
			continue
		}
		local := func(r rune) bool {
			return nearLetter(r) || strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.%+'", r)
		}
		before := s[:i]
		run := before[len(strings.TrimRightFunc(before, local)):]
		if len(run) > 64 {
			continue
		}
		run = strings.TrimLeft(run, "-.%+'")
		host := func(r rune) bool {
			return nearLetter(r) || strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.", r)
		}
		after := s[i+1:]
		name := after[:len(after)-len(strings.TrimLeftFunc(after, host))]
		if len(name) > 253 {
			continue
		}
		name, _, _ = strings.Cut(name, "..")
		name = strings.TrimRight(name, ".-")
		end := i + 1 + len(name)
		if run == "" || strings.HasSuffix(run, ".") || strings.Contains(run, "..") || end < len(s) && s[end] == '@' ||
			regexp.MustCompile(`^\dx\..`).MatchString(name) ||
			!regexp.MustCompile(`^([^.-]([^.]{0,61}[^.-])?\.)+(xn--[^.]*[^.-]|[^.\d-]{2,})$`).MatchString(name) {
			continue
		}
		labels := strings.Split(name, ".")
		if slices.ContainsFunc(labels, func(l string) bool { return len(l) > 63 }) || len(labels[len(labels)-1]) < 2 {
			continue
		}
		add(privacy.Email, i-len(run), end)
	}
}

func oracleIPv6(s string, add func(privacy.Detector, int, int)) {
	marked := marksIn(s)
	for _, at := range regexp.MustCompile(`[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*`).FindAllStringIndex(s, -1) {
		start, end := at[0], at[1]
		colon := start + strings.IndexByte(s[start:], ':')
		for marked(colon) { // the first colon that is in no mark
			next := strings.IndexByte(s[colon+1:end], ':')
			if next < 0 {
				break
			}
			colon += 1 + next
		}
		if marked(colon) {
			continue
		}
		if regexp.MustCompile(`^[A-Za-z0-9_]`).MatchString(s[end:]) {
			continue
		}
		if !wordLeft.MatchString(s[:start]) {
			start += len(s[start:end]) - len(strings.TrimLeft(s[start:end], "0123456789abcdefABCDEF"))
		}
		start += len(s[start:end]) - len(strings.TrimLeft(s[start:end], "."))
		body := s[start:end]
		if strings.HasPrefix(body, ":") && !strings.HasPrefix(body, "::") {
			start++
		} else if strings.HasPrefix(body, "::") && !wordLeft.MatchString(s[:start]) {
			continue
		}
		body = strings.TrimSuffix(s[start:end], ".")
		if strings.HasSuffix(body, ":") && !strings.HasSuffix(body, "::") {
			body = strings.TrimSuffix(body, ":")
		}
		a, err := netip.ParseAddr(body)
		if err != nil || !a.Is6() || !strings.ContainsAny(body, "0123456789") || whole(`([0-9a-fA-F]{2}:){7}[0-9a-fA-F]{2}`).MatchString(body) ||
			whole(`::([02-9a-fA-F]|[0-9a-fA-F]{2})|[0-9a-fA-F]{1,2}::`).MatchString(body) {
			continue
		}
		add(privacy.IPv6, start, start+len(body))
	}
}

func oraclePEM(s string, add func(privacy.Detector, int, int)) {
	marked := marksIn(s)
	label := regexp.MustCompile(`^-----BEGIN ([A-Z0-9 ]{0,64})-----`)
	for i := range len(s) {
		m := label.FindStringSubmatchIndex(s[i:min(len(s), i+11+69)])
		if m == nil || marked(i) || !strings.Contains(s[i+m[2]:i+m[3]], "PRIVATE KEY") {
			continue
		}
		end := len(s)
		if n := strings.Index(s[i+m[1]:], "-----"); n >= 0 {
			end = i + m[1] + n
			if m := regexp.MustCompile(`^-----END ([A-Z0-9 ]{0,64})-----`).FindStringSubmatchIndex(s[end:min(len(s), end+9+69)]); m != nil && strings.Contains(s[end+m[2]:end+m[3]], "PRIVATE KEY") {
				end += m[1]
			}
		}
		add(privacy.PrivateKey, i, end)
	}
}

func oracleAssignments(s string, add func(privacy.Detector, int, int)) {
	marked := marksIn(s)
	for i := range len(s) {
		if s[i] != ':' && s[i] != '=' || marked(i) {
			continue
		}
		before, after := s[:i], s[i+1:]
		if s[i] == ':' {
			if strings.HasSuffix(before, ":") || regexp.MustCompile(`^[:=/]`).MatchString(after) {
				continue
			}
		} else {
			if regexp.MustCompile(`[=!<>]$`).MatchString(before) || regexp.MustCompile(`^[=~]`).MatchString(after) {
				continue
			}
			before = regexp.MustCompile(`[:+]$`).ReplaceAllString(before, "")
		}
		name := oracleName(before)
		secret, password := privacy.Assigned(name)
		if !secret {
			continue
		}
		if start, end := oracleValue(s, i, name, password); end > start {
			add(privacy.Assignment, start, end)
		}
	}
}

// oracleName returns the words at the end of a text, of its last 48 bytes.
func oracleName(before string) string {
	before = before[max(0, len(before)-48):]
	before = regexp.MustCompile(` {1,2}$`).ReplaceAllString(before, "")
	before = regexp.MustCompile("\\\\?[\"'`]$").ReplaceAllString(before, "")
	return regexp.MustCompile(`( ?[A-Za-z0-9_.-])*$`).FindString(before)
}

func oracleValue(s string, i int, name string, password bool) (int, int) {
	m := regexp.MustCompile("(?i)^(>?)([ \\t]{0,4})(\\\\[\"'`]|[\"'`])?(bearer |basic |token )?").FindStringSubmatchIndex(s[i+1:])
	if s[i] == ':' {
		m = regexp.MustCompile("(?i)^()([ \\t]{0,4})(\\\\[\"'`]|[\"'`])?(bearer |basic |token )?").FindStringSubmatchIndex(s[i+1:])
	}
	from := i + 1 + m[1]
	quote, escaped, scheme := "", false, m[8] >= 0
	if m[6] >= 0 {
		quote = s[i+1+m[7]-1 : i+1+m[7]]
		escaped = m[7]-m[6] == 2
	}
	if end := privacy.MarkEnd(s, from); end > 0 && (quote == "" || escaped || strings.HasPrefix(s[end:], quote)) {
		return 0, 0
	}
	if quote != "" && !escaped {
		end := -1
		for j := from; j < len(s) && s[j] != '\n'; j++ {
			if s[j:j+1] == quote && (j == from || s[j-1] != '\\') {
				end = j
				break
			}
		}
		if end >= 0 {
			if end > from && oracleLikely(s[from:end], password) {
				return from, end
			}
			return 0, 0
		}
	}
	value := regexp.MustCompile("^[^\\x00-\\x20\\x7f\\[\\]{}()<>\"'`,;&]*").FindString(latin(s[from:]))
	value = s[from : from+len([]rune(value))]
	value = value[:len(value)-len(regexp.MustCompile(`[.:\\]{0,3}$`).FindString(value))]
	end := from + len(value)
	if value == "" || !oracleLikely(value, password) || value == name {
		return 0, 0
	}
	head := value[:min(64, len(value))]
	spaced := strings.HasSuffix(s[:i], " ") || strings.HasPrefix(strings.TrimPrefix(s[i+1:], s[i+1+m[2]:i+1+m[3]]), " ")
	if (s[i] == ':' || spaced) && !scheme && !escaped && password && whole(`[A-Za-zÿ._/-]*`).MatchString(high(head)) {
		return 0, 0
	}
	if regexp.MustCompile(`^[(\[]`).MatchString(s[end:]) && whole(`[\w.]*`).MatchString(head) {
		return 0, 0
	}
	return from, end
}

// latin makes a rune of each byte, so that expressions match bytes; high makes ÿ of each byte
// that is no ASCII.
func latin(s string) string {
	out := make([]rune, len(s))
	for i := range len(s) {
		out[i] = rune(s[i])
	}
	return string(out)
}

func high(s string) string {
	return strings.Map(func(r rune) rune { return min(r, 'ÿ') }, regexp.MustCompile("[\u0080-\u00ff]").ReplaceAllString(latin(s), "ÿ"))
}

var nothing = whole(`true|false|null|none|undefined|required|optional|string|empty|unset|redacted|hidden|changeme|password|secret|token|text`)

func oracleLikely(value string, password bool) bool {
	head := high(value[:min(64, len(value))])
	if len(value) < 4 || strings.ContainsAny(value[:1], "$<{%*") || nothing.MatchString(value) {
		return false
	}
	if password {
		return strings.Trim(value[:min(64, len(value))], value[:1]) != "" && !allSame(value[:min(64, len(value))])
	}
	return len(value) >= 8 && regexp.MustCompile(`[A-Za-zÿ]`).MatchString(head) && regexp.MustCompile(`\d`).MatchString(head)
}

func allSame(s string) bool {
	return strings.Count(s, s[:1]) == len(s) && s[0] < 0x80 || latin(s) == strings.Repeat(latin(s[:1]), len(s))
}

func sorted(findings []privacy.Finding) []string {
	out := []string{}
	for _, f := range findings {
		out = append(out, fmt.Sprintf("%s[%d:%d]", f.Detector, f.Start, f.End))
	}
	slices.Sort(out)
	return out
}

func compare(t *testing.T, text string) {
	t.Helper()
	require.Equal(t, sorted(oracle(text)), sorted(privacy.Candidates(text)), "%q", text)
}

// P4. The oracle and the detectors agree on every text of the other tests.
func TestDetectorsFindWhatTheOracleFinds(t *testing.T) {
	n := 0
	for _, kind := range found {
		for _, text := range kind.texts {
			compare(t, strings.Replace(around[n%len(around)], "%", text, 1))
			n++
		}
	}
}

// FuzzFind compares the detectors with the oracle, and protects each text twice (P2).
func FuzzFind(f *testing.F) {
	for _, kind := range found {
		for _, text := range kind.texts {
			f.Add("a " + text + " b")
		}
	}
	for _, text := range nearMisses {
		f.Add(text)
	}
	for _, text := range assignments {
		f.Add(text)
	}
	p := protector(f, privacy.Tokenise)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 300 {
			text = text[:300]
		}
		compare(t, text)
		checkTwice(t, p, text)
	})
}

// randomText puts a text together from pieces of what is found and of what is not, some of
// them with a byte changed.
func randomText(r *rand.Rand) string {
	pick := func(list []string) string { return list[r.IntN(len(list))] }
	var out strings.Builder
	for range 1 + r.IntN(4) {
		var piece string
		switch r.IntN(5) {
		case 0, 1:
			piece = pick(found[r.IntN(len(found))].texts)
		case 2:
			piece = pick(nearMisses)
		case 3:
			piece = strings.NewReplacer("<", "", ">", "").Replace(pick(assignments))
		default:
			piece = pick([]string{"[redacted:card]", "[hash:email:" + strings.Repeat("0a", 32) + "]", "+44 (0) 20 7946 0958", "1 4111 1111 1111 1111",
				"01 23 45 67 89 10", "password", "token", "é", "1", "-", "::", "(02", ") "})
		}
		for range r.IntN(3) {
			i := r.IntN(len(piece) + 1)
			c := pick([]string{"", "1", " ", "-", ".", "a", "A", ":", "(", ")", "0", "@", "+", "é", "/", "=", "\"", "[", "\\", "\n", "\xff"})
			piece = piece[:i] + c + piece[min(len(piece), i+r.IntN(2)):]
		}
		out.WriteString(piece)
		out.WriteString(pick([]string{"", " ", " ", ", ", "-", ".", ":", "=", "\n", "(", "]", "/", "'", "password="}))
	}
	text := out.String()
	return text[:min(len(text), 400)]
}

// P2 and P4, over texts put together at random; LOAM_LONG makes many more.
func TestRandomTextsAreFoundAsTheOracleFindsThem(t *testing.T) {
	n := 2000
	if testing.Short() {
		n = 200
	}
	if os.Getenv("LOAM_LONG") != "" {
		n = 200_000
	}
	p := protector(t, privacy.Redact)
	for seed := range n {
		text := randomText(rand.New(rand.NewPCG(uint64(seed), 1)))
		compare(t, text)
		checkTwice(t, p, text)
	}
}

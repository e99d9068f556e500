package nodebridge

import (
	"cmp"
	"slices"
	"strings"
)

// shortestSecret is how many bytes a value of env has at least to be hidden, as in js/secrets.js.
const shortestSecret = 8

// secrets hides the env of a bridge's modules in what the process prints past JavaScript, where nothing
// knows whose it is. The Node half hides what goes through console and process.stdout.
type secrets struct {
	known map[string]bool
	hide  *strings.Replacer // nil: nothing
}

// add learns the values of an env, and their lines, since output is read line by line.
func (s *secrets) add(env map[string]string) {
	before := len(s.known)
	for _, value := range env {
		for _, text := range append(strings.Split(value, "\n"), value) {
			if text = strings.TrimSpace(text); len(text) >= shortestSecret {
				if s.known == nil {
					s.known = map[string]bool{}
				}
				s.known[text] = true
			}
		}
	}
	if len(s.known) == before {
		return
	}
	var pairs []string
	for _, text := range s.longestFirst() {
		pairs = append(pairs, text, "***")
	}
	s.hide = strings.NewReplacer(pairs...)
}

func (s *secrets) longestFirst() []string {
	texts := make([]string, 0, len(s.known))
	for text := range s.known {
		texts = append(texts, text)
	}
	slices.SortFunc(texts, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	return texts
}

// print hands on a line that the process printed.
func (b *Bridge) print(stream, line string) {
	b.mu.Lock()
	hide := b.secrets.hide
	b.mu.Unlock()
	if hide != nil {
		line = hide.Replace(line)
	}
	b.heard(stream, line)
	b.output(stream, line)
}

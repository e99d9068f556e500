package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// jsonValue reads one argument: JSON as it stands, @FILE for a file of JSON, - for standard input.
func (s *session) jsonValue(word string) (json.RawMessage, error) {
	var b []byte
	var err error
	switch {
	case word == "-":
		b, err = io.ReadAll(s.in)
	case strings.HasPrefix(word, "@"):
		b, err = os.ReadFile(word[1:])
	default:
		b = []byte(word)
	}
	if err != nil {
		return nil, usageError{error: err}
	}
	if !json.Valid(b) {
		if len(word) > 60 {
			word = word[:60] + "…"
		}
		return nil, wrongUsage("%q is not JSON; text needs quotes of its own: '\"text\"'", word)
	}
	return b, nil
}

// arguments reads a call's arguments; none are an empty array.
func (s *session) arguments(words []string) ([]json.RawMessage, error) {
	args := make([]json.RawMessage, 0, len(words))
	for _, w := range words {
		v, err := s.jsonValue(w)
		if err != nil {
			return nil, err
		}
		args = append(args, v)
	}
	return args, nil
}

// optional reads one value that may be left out: nil.
func (s *session) optional(word string) (json.RawMessage, error) {
	if word == "" {
		return nil, nil
	}
	v, err := s.jsonValue(word)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	return v, nil
}

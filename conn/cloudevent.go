package conn

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"mime"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"github.com/livefn/livefn/hub"
)

// CloudEvents 1.0 (github.com/cloudevents/spec, the JSON format and the HTTP binding). An event keeps the
// CloudEvent's type and data as its own; the attributes, its type too, are its cloudevent member.

const (
	mediaCloudEvent  = "application/cloudevents+json"
	mediaCloudEvents = "application/cloudevents-batch+json"
)

// isBinaryCloudEvent reports whether a request's headers are a CloudEvent's attributes.
func isBinaryCloudEvent(h *fasthttp.RequestHeader) bool { return h.Peek("Ce-Specversion") != nil }

// binaryCloudEvent reads attributes from headers; the body is the data.
func binaryCloudEvent(h *fasthttp.RequestHeader, body []byte) (pub hub.Publication, err error) {
	attributes := map[string]any{}
	for k, v := range h.All() {
		name, ok := strings.CutPrefix(strings.ToLower(string(k)), "ce-")
		if !ok {
			continue
		}
		if attributes[name] != nil {
			return pub, invalid("The header ce-%s is there twice.", name)
		}
		text, ok := headerText(string(v))
		if !ok {
			return pub, invalid("The header ce-%s is not UTF-8 with percent-encoding.", name)
		}
		attributes[name] = text
	}
	contentType := string(h.ContentType())
	if contentType != "" && len(body) > 0 {
		attributes["datacontenttype"] = contentType
	}
	if pub, err = cloudEvent(attributes); err != nil || len(body) == 0 {
		return pub, err
	}
	switch {
	case isJSON(contentType):
		pub.Data = slices.Clone(body)
		if !json.Valid(body) {
			return pub, invalid("The data is not JSON, though its content type says so.")
		}
	case strings.HasPrefix(contentType, "text/") && utf8.Valid(body):
		pub.Data, _ = json.Marshal(string(body))
	default:
		pub.Data, _ = json.Marshal(map[string][]byte{"base64": body})
	}
	return pub, nil
}

// headerText decodes a header's value (HTTP binding, 3.1.3.2): percent-encoded UTF-8, double quotes around
// it taken away.
func headerText(v string) (string, bool) {
	if len(v) >= 2 && v[0] == '"' && v[len(v)-1] == '"' {
		var b strings.Builder
		for rest := v[1 : len(v)-1]; rest != ""; rest = rest[1:] {
			if rest[0] == '\\' && len(rest) > 1 {
				rest = rest[1:]
			}
			b.WriteByte(rest[0])
		}
		v = b.String()
	}
	text, err := url.PathUnescape(v)
	return text, err == nil && utf8.ValidString(text)
}

// structuredCloudEvent reads a CloudEvent from JSON.
func structuredCloudEvent(js []byte) (pub hub.Publication, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(js, &members); err != nil || members == nil {
		return pub, invalid("A CloudEvent must be a JSON object.")
	}
	data, inBase64 := members["data"], members["data_base64"]
	delete(members, "data")
	delete(members, "data_base64")
	attributes := map[string]any{}
	for name, v := range members {
		var value any
		if err := json.Unmarshal(v, &value); err != nil {
			return pub, invalid("The CloudEvent is not JSON.")
		}
		if value != nil { // null is as if it were not there
			attributes[name] = value
		}
	}
	if pub, err = cloudEvent(attributes); err != nil {
		return pub, err
	}
	if inBase64 == nil {
		pub.Data = data
		return pub, nil
	}
	var raw string
	if json.Unmarshal(inBase64, &raw) != nil || data != nil {
		return pub, invalid("A CloudEvent has either data, or data_base64, which is a string.")
	}
	if _, err := base64.StdEncoding.DecodeString(raw); err != nil {
		return pub, invalid("The CloudEvent's data_base64 is not base64.")
	}
	pub.Data, _ = json.Marshal(map[string]string{"base64": raw})
	return pub, nil
}

// cloudEvent checks attributes (spec 1.0.2, "Context Attributes") and makes an event without data of them.
func cloudEvent(attributes map[string]any) (pub hub.Publication, err error) {
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if !isAttribute(name) {
			return pub, invalid("%q cannot be the name of a CloudEvent's attribute: lower-case letters and digits.", name)
		}
		switch v := attributes[name].(type) {
		case bool:
		case float64:
			if v != float64(int32(v)) {
				return pub, invalid("The CloudEvent's %s must be an integer of 32 bits, a string or a boolean.", name)
			}
		case string:
			if wrong := wrongAttribute(name, v); wrong != "" {
				return pub, invalid("The CloudEvent's %s %s.", name, wrong)
			}
			continue
		default:
			return pub, invalid("The CloudEvent's %s must be a string, an integer or a boolean.", name)
		}
		if isStandard(name) {
			return pub, invalid("The CloudEvent's %s must be a string.", name)
		}
	}
	for _, name := range []string{"specversion", "id", "source", "type"} {
		if attributes[name] == nil {
			return pub, invalid("The CloudEvent has no %s.", name)
		}
	}
	pub.Type, _ = attributes["type"].(string)
	pub.CloudEvent, err = json.Marshal(attributes)
	return pub, err
}

func isAttribute(name string) bool {
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return name != "" && name != "data"
}

func isStandard(name string) bool {
	switch name {
	case "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema":
		return true
	}
	return false
}

// wrongAttribute says what is wrong with a standard attribute; "": nothing.
func wrongAttribute(name, v string) string {
	if isStandard(name) && v == "" {
		return "is empty"
	}
	switch name {
	case "specversion":
		if v != "1.0" {
			return "must be 1.0"
		}
	case "source":
		if _, err := url.Parse(v); err != nil {
			return "is not a URI reference"
		}
	case "dataschema":
		if u, err := url.Parse(v); err != nil || !u.IsAbs() {
			return "is not an absolute URI"
		}
	case "time":
		if _, err := time.Parse(time.RFC3339, v); err != nil {
			return "is not a time as RFC 3339 has it"
		}
	case "datacontenttype":
		if _, _, err := mime.ParseMediaType(v); err != nil {
			return "is not a media type"
		}
	}
	return ""
}

// isJSON reports whether a media type is of JSON.
func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json"))
}

package nodebridge

import "encoding/binary"

// appendHead appends what stands before a payload of n bytes.
func appendHead(b []byte, kind Kind, id uint32, n int) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(bodyHead+n))
	b = append(b, byte(kind))
	return binary.LittleEndian.AppendUint32(b, id)
}

func appendFrame(b []byte, kind Kind, id uint32, payload []byte) []byte {
	return append(appendHead(b, kind, id, len(payload)), payload...)
}

func appendBody(b []byte, kind Kind, id uint32, payload []byte) []byte {
	b = append(b, byte(kind))
	b = binary.LittleEndian.AppendUint32(b, id)
	return append(b, payload...)
}

// invokeSize is the size of the payload of a Call frame.
func invokeSize(c *Call, args []byte) int {
	return 8 + len(c.Execution) + len(c.Meta) + len(args)
}

// appendInvoke appends the payload of a Call frame.
func appendInvoke(b []byte, c *Call, args []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, c.Module.handle)
	b = append(b, byte(c.Encoding), byte(len(c.Execution)))
	b = append(b, c.Execution...)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(c.Meta)))
	b = append(b, c.Meta...)
	return appendLarge(b, args)
}

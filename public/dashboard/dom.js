// The few lines of DOM that the views share. Views build their elements once and change them in
// update(); nothing is rendered from strings, so nothing needs escaping.

/** Makes an element: h('a', { href, class, 'data-testid', onclick }, child, …). Falsy children are left out. */
export function h (tag, props, ...children) {
  const element = document.createElement(tag)
  set(element, props)
  element.append(...children.flat().filter(child => child !== undefined && child !== null && child !== false))
  return element
}

/** Sets attributes and listeners; undefined, null and false take an attribute away. */
export function set (element, props = {}) {
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith('on')) element[name] = value
    else if (name === 'value') { if (element.value !== value) element.value = value } else if (value === undefined || value === null || value === false) element.removeAttribute(name)
    else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value === true ? '' : value)
  }
  return element
}

/** Sets an element's text, touching the DOM only if it changed. */
export function text (element, value) {
  const now = String(value ?? '')
  if (element.textContent !== now) element.textContent = now
  return element
}

export function show (element, visible) {
  element.hidden = !visible
  return visible
}

/** Keeps container's children equal to items: one element per key, made once, moved rather than remade. */
export function keyed (make) {
  let rows = new Map()
  return (container, items, key) => {
    const next = new Map()
    let at = container.firstChild
    for (const item of items) {
      const id = key(item)
      const row = rows.get(id) ?? make(item)
      rows.delete(id)
      next.set(id, row)
      row.update(item)
      if (row.element === at) at = at.nextSibling
      else container.insertBefore(row.element, at)
    }
    for (const { element } of rows.values()) element.remove()
    rows = next
  }
}

const SVG = 'http://www.w3.org/2000/svg'

/** A 16 px line icon from path data. */
export function icon (d) {
  const svg = document.createElementNS(SVG, 'svg')
  for (const [name, value] of Object.entries({ viewBox: '0 0 16 16', width: 16, height: 16, 'aria-hidden': 'true', class: 'icon' })) svg.setAttribute(name, value)
  const path = document.createElementNS(SVG, 'path')
  path.setAttribute('d', d)
  svg.append(path)
  return svg
}

export const icons = {
  back: 'M10 3 5 8l5 5',
  close: 'm4 4 8 8m0-8-8 8',
  list: 'M3 4.5h10M3 8h10M3 11.5h10',
  out: 'M6.5 3H4a1 1 0 0 0-1 1v8a1 1 0 0 0 1 1h2.5M10 5l3 3-3 3m3-3H6.5',
  retry: 'M13 8a5 5 0 1 1-1.5-3.5M13 2.5V5h-2.5'
}

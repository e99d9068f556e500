import { h } from '../dom.js'

export function brand () {
  return h('span', { class: 'brand' },
    h('img', { src: '/dashboard/mark.svg', alt: '', width: 24, height: 24 }), 'livefn')
}

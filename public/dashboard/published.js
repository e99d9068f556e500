// What stands under a function's name: its versions, the aliases that mean them, and its triggers.

const DETAILS = 10 // versions whose log is kept

export class Published {
  versions // newest first; undefined while loading
  aliases = []
  triggers = []
  error // why there are none
  #api
  #changed
  #loads = 0
  #details = new Map() // version → {log} or {error}; {} while loading

  /** api(path) gives the hub's answer; changed(): something did. */
  constructor (name, api, changed) {
    this.name = name
    this.#api = api
    this.#changed = changed
    this.load()
  }

  /** Loads it anew; what is shown stays until then. */
  async load () {
    const load = ++this.#loads
    const path = `/functions/${encodeURIComponent(this.name)}`
    try {
      const [versions, aliases, triggers] = await Promise.all([this.#api(`${path}/versions`), this.#api(`${path}/aliases`), this.#api('/triggers')])
      if (load !== this.#loads) return
      this.versions = versions.items.reverse()
      this.aliases = aliases.items
      this.triggers = triggers.items.filter(trigger => trigger.function.split('@')[0] === this.name)
      this.error = undefined
    } catch (error) {
      if (load !== this.#loads) return
      this.error = error
    }
    this.#changed()
  }

  /** What is known of a version's install. */
  detail (version) { return this.#details.get(version) }

  /** Loads a version's log, which never changes. */
  async open (version) {
    if (this.#details.get(version)?.log !== undefined) return
    this.#details.set(version, {})
    if (this.#details.size > DETAILS) this.#details.delete(this.#details.keys().next().value)
    try {
      const { log } = await this.#api(`/functions/${encodeURIComponent(this.name)}/versions/${version}`)
      this.#details.set(version, { log })
    } catch (error) {
      this.#details.set(version, { error })
    }
    this.#changed()
  }

  /** The labels of a version: latest, prod, canary 10 %. */
  labels (version, latest) {
    const labels = version === latest ? ['latest'] : []
    for (const { name, version: only, weights = {} } of this.aliases) {
      if (only === version) labels.push(name)
      const sum = Object.values(weights).reduce((a, b) => a + b, 0)
      if (weights[version] > 0) labels.push(`${name} ${Math.round(1000 * weights[version] / sum) / 10} %`)
    }
    return labels
  }
}

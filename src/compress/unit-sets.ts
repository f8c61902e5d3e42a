// Ids of units: which are one, which stand for several that must all live, which cannot be cut.

/**
 * Union-find over ids; -1 is no unit. An id may be split into parts: a column of a projection lives
 * where its head and its place in the head both live. Only ids that are not split are units.
 */
export class UnitSets {
  /** Id → why it cannot be cut; after `settle` by unit. */
  readonly frozen = new Map<number, string>()
  /** Ids whose count enters a result; after `settle` units. */
  readonly reduced = new Set<number>()
  readonly #parent: number[] = []
  readonly #parts = new Map<number, readonly number[]>()
  readonly #joined = new Map<string, number>()

  fresh(count: number): Int32Array {
    const first = this.#parent.length
    for (let i = 0; i < count; i++) this.#parent.push(first + i)
    return Int32Array.from({ length: count }, (_, i) => first + i)
  }

  /** The units an id stands for, in order: none for -1. */
  unitsOf(id: number): readonly number[] {
    if (id < 0) return []
    const root = this.#find(id)
    const parts = this.#parts.get(root)
    return parts === undefined ? [root] : [...new Set(parts.flatMap((part) => this.unitsOf(part)))]
  }

  /** Returns an id that lives where all of the given ones do. */
  join(ids: readonly number[]): number {
    const units = [...new Set(ids.flatMap((id) => this.unitsOf(id)))]
    if (units.length < 2) return units[0] ?? -1
    const key = units.join()
    const known = this.#joined.get(key)
    if (known !== undefined) return known
    const made = this.fresh(1)[0]!
    this.#parts.set(made, units)
    this.#joined.set(key, made)
    return made
  }

  /** Makes two ids live and die together; joined ones part by part. `where` they meet is the reason if one cannot die. */
  unite(a: number, b: number, where: string): void {
    const [left, right] = [this.unitsOf(a), this.unitsOf(b)]
    const ours = left.filter((unit) => !right.includes(unit))
    const theirs = right.filter((unit) => !left.includes(unit))
    if (ours.length === 0 || theirs.length === 0)
      this.freeze([...ours, ...theirs], `${where} joins it with what cannot be cut`)
    else if (ours.length === theirs.length)
      ours.forEach((unit, i) => {
        this.#merge(unit, theirs[i]!)
      })
    else if (ours.length === 1) this.#parts.set(ours[0]!, theirs)
    else if (theirs.length === 1) this.#parts.set(theirs[0]!, ours)
    else for (const unit of [...ours, ...theirs]) this.#merge(ours[0]!, unit)
  }

  freeze(ids: Iterable<number>, reason: string): void {
    for (const id of ids) if (id >= 0 && !this.frozen.has(id)) this.frozen.set(id, reason)
  }

  reduce(ids: Iterable<number>): void {
    for (const id of ids) if (id >= 0) this.reduced.add(id)
  }

  /** Reasons and marks were left on ids; moves them to the units these ended up in. */
  settle(): void {
    for (const [id, reason] of [...this.frozen])
      for (const unit of this.unitsOf(id)) if (!this.frozen.has(unit)) this.frozen.set(unit, reason)
    for (const id of [...this.reduced]) for (const unit of this.unitsOf(id)) this.reduced.add(unit)
  }

  #find(id: number): number {
    let root = id
    while (this.#parent[root] !== root) {
      this.#parent[root] = this.#parent[this.#parent[root]!]!
      root = this.#parent[root]!
    }
    return root
  }

  // The smaller id wins, so that a unit is its first appearance.
  #merge(a: number, b: number): void {
    const [x, y] = [this.#find(a), this.#find(b)]
    if (x !== y) this.#parent[Math.max(x, y)] = Math.min(x, y)
  }
}

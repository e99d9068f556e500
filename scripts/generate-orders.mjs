// Writes the orders of a made-up shop as CSV: the input of the sample function "report". A fixed
// seed makes every run give the same bytes, which a test holds against the committed file.
//
//	node scripts/generate-orders.mjs > internal/samples/report/orders.csv
import { fileURLToPath } from 'node:url'

const rows = 50_000

// [country, currency-free share of the orders]
const countries = [
  ['Germany', 21], ['United States', 18], ['France', 12], ['United Kingdom', 11], ['Netherlands', 8],
  ['Spain', 7], ['Italy', 6], ['Poland', 5], ['Sweden', 4], ['Japan', 4], ['Korea, Republic of', 2], ['Brazil', 2]
]

// [category, share, [product, price in cents]…]
const categories = [
  ['Books', 24, ['Atlas of Rivers', 3450], ['The Quiet Compiler', 2799], ['Soup, and Other Proofs', 1950], ['A Field Guide to Moss', 2425]],
  ['Kitchen', 20, ['Carbon Steel Pan 24"', 5900], ['Kettle 1.5 l', 4490], ['Chef\'s Knife', 8900], ['Oak Board', 3200]],
  ['Garden', 15, ['Hand Fork', 1275], ['Seeds "Old Roses"', 495], ['Watering Can', 2650], ['Twine, 100 m', 380]],
  ['Audio', 14, ['Open Headphones', 14900], ['Cable 3 m', 1290], ['Turntable', 32900]],
  ['Outdoor', 14, ['Tent for 2', 21900], ['Stove', 6450], ['Rain Shell', 12900], ['Map, waterproof', 1650]],
  ['Toys', 13, ['Wooden Train', 3995], ['Kite', 1890], ['Puzzle, 1000 pieces', 1795]]
]

// mulberry32: 32 bits of state, the same numbers on every machine.
function random (seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), seed | 1)
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000
  }
}

function quoted (field) {
  return /[",\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field
}

export function orders (seed = 20_170_928) {
  const next = random(seed)
  const below = n => Math.floor(next() * n)
  const weighted = table => {
    let at = below(table.reduce((sum, row) => sum + row[1], 0))
    return table.find(row => (at -= row[1]) < 0)
  }
  const homes = Array.from({ length: 1_500 }, () => weighted(countries)[0])

  const lines = ['order,date,customer,country,category,product,quantity,unit_price,discount']
  const start = Date.UTC(2025, 0, 1)
  const year = 365 * 24 * 3600 * 1000
  for (let i = 0; i < rows; i++) {
    // A square favours low numbers: few customers order often, most of them seldom.
    const customer = Math.floor(next() ** 2 * homes.length)
    const [category, , ...products] = weighted(categories)
    const [product, cents] = products[below(products.length)]
    const fields = [
      String(100_001 + i),
      new Date(start + Math.floor((i + next()) / rows * year)).toISOString().slice(0, 10),
      `C${String(customer + 1).padStart(4, '0')}`,
      homes[customer],
      category,
      product,
      String(1 + Math.floor(next() ** 3 * 8)),
      (cents / 100).toFixed(2),
      next() < 0.2 ? ['0.05', '0.10', '0.15', '0.25'][below(4)] : '0'
    ]
    lines.push(fields.map(quoted).join(','))
  }
  return lines.join('\n') + '\n'
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.stdout.write(orders())

// Compile a model into one file, then run it the way a page or server would.
import { load } from '@tersor/runtime'
import { compile, demoNet, deploy, runPasses, singleFile } from 'tersor'

const { model } = runPasses(demoNet(), deploy)
const bytes = singleFile(compile(model))

const bundle = await load(bytes)
const image = new Float32Array(3 * 32 * 32).map((_, i) => Math.sin(i / 7))
const { logits } = await bundle.run({ image })
bundle.dispose()

const scores = Array.from(logits!.data as Float32Array) // this model's logits are float32
console.log(`${bytes.length} bytes, class ${scores.indexOf(Math.max(...scores))}`)

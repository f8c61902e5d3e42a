// A run record of realistic size for report tests: a ResNet-20 with pruned blocks.
import { createRandom } from '../../src/util/random.ts'
import type { Run } from '../../src/report/run.ts'

/** Returns a plausible run; `name` replaces the first layer's name. */
export function sampleRun(name = 'layer1.0.conv1'): Run {
  const random = createRandom(7)
  const layers: Run['layers'] = []
  for (let stage = 0; stage < 3; stage++)
    for (let block = 0; block < 3; block++)
      for (let conv = 1; conv <= 2; conv++) {
        const channels = 16 << stage
        const size = 32 >> stage
        const kept = conv === 1 ? Math.round(channels * (0.4 + 0.4 * random.uniform())) : channels
        const before = {
          shape: `${channels}×${size}×${size}`,
          macs: 2.36e6,
          ms: 0.11 + 0.02 * stage,
        }
        const share = (kept / channels) * (conv === 2 ? 0.62 : 1)
        layers.push({
          name: layers.length === 0 ? name : `layer${stage + 1}.${block}.conv${conv}`,
          op: 'Conv',
          before,
          after: {
            shape: `${kept}×${size}×${size}`,
            macs: Math.round(before.macs * share),
            ms: before.ms * (0.15 + 0.85 * share),
          },
          done: conv === 1 ? `kept ${kept} of ${channels} channels` : 'fewer input channels',
          limit:
            conv === 1
              ? kept % 4 === 0
                ? `the next 4 channels save ${(2 + 5 * random.uniform()).toFixed(0)} µs and lose more than any other class`
                : ''
              : 'its outputs join the residual stream, kept whole: frozen with 7 other layers',
        })
      }
  const timing = (label: string, ms: number) => ({
    label,
    medianMs: ms,
    minMs: ms * 0.97,
    lowMs: ms * 0.98,
    highMs: ms * 1.08,
    runs: 560,
    rounds: Array.from({ length: 7 }, () => ms * (0.99 + 0.03 * random.uniform())),
  })
  const ratio = (value: number) => ({ median: value, low: value * 0.98, high: value * 1.02 })
  const port = { name: 'image', dtype: 'float32', shape: [1, 3, 32, 32] }
  const facts = { inputs: [port], outputs: [{ ...port, name: 'logits', shape: [1, 10] }] }
  return {
    format: 1,
    tersor: '0.1.0',
    command:
      'tersor resnet20-cifar10.onnx --data cifar10 --preset cifar10 --target wasm --speedup 1.8 --threads 2 --seed 1',
    seed: 1,
    target: 'wasm',
    environment: {
      startedAt: '2026-11-20T12:40:00.000Z',
      tookMs: 873_000,
      platform: 'linux',
      architecture: 'x64',
      cpu: 'AMD EPYC 9R14',
      cores: 2,
      memoryBytes: 16.5e9,
      node: '20.20.2',
      v8: '11.3.244.8-node.38',
      threads: 2,
      engines: [
        { name: 'ort-node', version: '1.30.0' },
        { name: 'ort-web', version: '1.30.0' },
      ],
    },
    model: {
      name: 'resnet20-cifar10',
      sizeBytes: 1_096_000,
      parameters: 272_474,
      macs: 40.8e6,
      ...facts,
    },
    result: { name: 'small', sizeBytes: 512_000, parameters: 126_870, macs: 20.1e6, ...facts },
    description: {
      source: 'preset cifar10',
      value: { kind: 'image', size: [32, 32], colour: 'rgb' },
    },
    data: { name: 'cifar10', training: 20_000, evaluation: 1000, labels: true },
    goal: { text: '1.8× faster on wasm', reached: true, gap: '', ways: [] },
    plan: { format: 1, keep: { 'layer1.0.conv1': 11, 'layer2.0.conv1': 20 }, mask: {} },
    prices: { fingerprint: '5d0c91ab', points: 312, target: 'wasm' },
    recipe: {
      name: 'halp',
      paper: 'Shen et al., Structural Pruning via Latency-Saliency Knapsack, 2022',
    },
    steps: [
      { name: 'clean', summary: '3 of 71 nodes changed', tookMs: 40 },
      { name: 'prices', summary: '312 points measured', tookMs: 96_000 },
      { name: 'allocate', summary: '9 classes cut to 55 % of the predicted time', tookMs: 22_000 },
      { name: 'recover', summary: '8 epochs, 20000 images', tookMs: 720_000 },
    ],
    layers,
    speedups: [
      {
        baseline: 'original, compiled by Tersor',
        result: 'small, compiled by Tersor',
        beforeMs: 2.04,
        afterMs: 1.09,
        ratio: ratio(1.87),
      },
      {
        baseline: 'original on ort-web',
        result: 'small, compiled by Tersor',
        beforeMs: 3.52,
        afterMs: 1.09,
        ratio: ratio(3.22),
      },
    ],
    comparisons: [
      {
        title: 'wasm bundle, 1 thread',
        timings: [timing('dense bundle', 2.04), timing('small bundle', 1.09)],
        speedups: [ratio(1), ratio(1.87)],
      },
      {
        title: 'against onnxruntime-web 1.30.0, 1 thread',
        timings: [
          timing('resnet20-cifar10.onnx', 2.95),
          timing('small.onnx', 1.98),
          timing('small bundle', 1.1),
        ],
        speedups: [ratio(1), ratio(1.49), ratio(2.68)],
      },
    ],
    quality: {
      kind: 'accuracy',
      before: 0.915,
      after: 0.904,
      samples: 1000,
      dataset: 'cifar10 test',
    },
    training: Array.from({ length: 400 }, (_, i) => ({
      step: i * 6,
      loss: 0.9 * Math.exp(-i / 90) + 0.12 + 0.06 * random.uniform(),
      learningRate: 0.02 * (1 + Math.cos((Math.PI * i) / 400)),
    })),
    files: [
      { path: 'model.onnx', summary: 'runs on any ONNX Runtime', sizeBytes: 512_000 },
      { path: 'bundle/', summary: 'runs on @tersor/runtime', sizeBytes: 561_000 },
      { path: 'report.html', summary: 'this page', sizeBytes: 380_000 },
      { path: 'run.json', summary: 'everything needed to repeat the run', sizeBytes: 61_000 },
    ],
    notes: [
      'Accuracy was measured on 1000 images; differences under 1.8 points may be chance.',
      'The machine was noisy: the slowest round was 6 % above the fastest.',
    ],
  }
}

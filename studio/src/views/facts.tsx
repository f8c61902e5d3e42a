// Everything needed to judge and to repeat the run.
import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import type { Run } from '../../../src/report/run.ts'
import { formatBytes, formatDuration } from '../../../src/report/format.ts'

/** Notes, files, steps, environment, and the command. */
export function Facts({ run }: { run: Run }) {
  return (
    <>
      {run.notes.length === 0 ? null : (
        <section>
          <h2>Read this before quoting a figure</h2>
          <ul class="notes">
            {run.notes.map((note) => (
              <li key={note}>{note}</li>
            ))}
          </ul>
        </section>
      )}
      <section>
        <h2>Repeat it</h2>
        <Command text={run.command} />
        <p class="explain">
          Seed {run.seed}
          {run.recipe === undefined ? null : `, recipe ${run.recipe.name} (${run.recipe.paper})`}
          {run.prices === undefined
            ? null
            : `, price table ${run.prices.fingerprint} with ${run.prices.points} points`}
          . The same seed on the same machine, engine, thread count and price table gives the same
          bytes.
        </p>
      </section>
      <div class="columns">
        <section>
          <h2>Files</h2>
          <table>
            <tbody>
              {run.files.map((file) => (
                <tr key={file.path}>
                  <td>
                    <span class="name">{file.path}</span>
                    <span class="quiet small">{file.summary}</span>
                  </td>
                  <td class="number">{formatBytes(file.sizeBytes)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
        <section>
          <h2>Steps</h2>
          <table>
            <tbody>
              {run.steps.map((step) => (
                <tr key={step.name}>
                  <td>
                    <span class="name">{step.name}</span>
                    <span class="quiet small">{step.summary}</span>
                  </td>
                  <td class="number">{formatDuration(step.tookMs)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      </div>
      <Environment run={run} />
      {run.plan === undefined ? null : <Json title="Plan" value={run.plan} />}
    </>
  )
}

function Environment({ run }: { run: Run }) {
  const { environment: e, data, description } = run
  const ports = (list: Run['model']['inputs']) =>
    list.map((port) => `${port.name} ${port.dtype}[${port.shape.join(' × ')}]`).join(', ')
  return (
    <section>
      <h2>Environment</h2>
      <dl>
        <Row name="processor">
          {e.cpu}, {e.cores} cores, {e.architecture}, {e.platform}, {formatBytes(e.memoryBytes)}
        </Row>
        <Row name="JavaScript">
          Node {e.node}, V8 {e.v8}
        </Row>
        {e.engines.length === 0 ? null : (
          <Row name="engines">
            {e.engines.map(({ name, version }) => `${name} ${version}`).join(', ')}, {e.threads}{' '}
            thread{e.threads === 1 ? '' : 's'}
          </Row>
        )}
        <Row name="inputs">{ports(run.model.inputs)}</Row>
        <Row name="outputs">{ports(run.model.outputs)}</Row>
        {data === undefined ? null : (
          <Row name="data">
            {data.name}: {data.training} samples to learn from, {data.evaluation} to judge by,{' '}
            {data.labels ? 'with labels' : 'labels unused'}
          </Row>
        )}
        {description === undefined ? null : (
          <Row name="description">
            {description.source}
            <Json title="show" value={description.value} />
          </Row>
        )}
      </dl>
    </section>
  )
}

function Row({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  )
}

function Json({ title, value }: { title: string; value: unknown }) {
  return (
    <details>
      <summary>{title}</summary>
      <pre>{JSON.stringify(value, null, 2)}</pre>
    </details>
  )
}

function Command({ text }: { text: string }) {
  const [copied, setCopied] = useState(false)
  return (
    <div class="command">
      <code>{text}</code>
      <button
        type="button"
        onClick={() => navigator.clipboard.writeText(text).then(() => setCopied(true))}
      >
        {copied ? 'copied' : 'copy'}
      </button>
    </div>
  )
}

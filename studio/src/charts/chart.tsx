// Places a plot and redraws it when its column changes width.
import { useEffect, useRef } from 'preact/hooks'

/** A figure drawn by `draw` at the width it has. */
export function Chart(props: { draw: (width: number) => Element; label: string }) {
  const holder = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const place = holder.current
    if (place === null) return
    const redraw = () => place.replaceChildren(props.draw(place.clientWidth || 900))
    redraw()
    const observer = new ResizeObserver(redraw)
    observer.observe(place)
    return () => observer.disconnect()
  }, [props.draw])
  return <div class="chart" ref={holder} role="img" aria-label={props.label} />
}

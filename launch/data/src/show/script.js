'use strict';
// The value of every curve and the name of every span under the cursor. Without it the page is complete, but still.
(() => {
  const tracks = document.getElementById('tracks');
  const cursor = document.getElementById('cursor');
  const clock = document.getElementById('clock');
  const look = document.getElementById('look');
  const from = Number(tracks.dataset.from);
  const to = Number(tracks.dataset.to);
  const short = value => String(Number(value.toPrecision(4)));

  // Curves are read from the picture itself: no number is on the page twice.
  let curves = null;
  const read = () => [...tracks.querySelectorAll('path.curve')].map(path => {
    const {low, high} = path.closest('section').dataset;
    const points = [...path.getAttribute('d').matchAll(/([ML])(-?[\d.]+) (-?[\d.]+)/g)];
    return {
      key: document.getElementById(path.dataset.key),
      low: Number(low),
      high: Number(high),
      starts: points.map(point => point[1] === 'M'),
      x: points.map(point => Number(point[2])),
      y: points.map(point => Number(point[3])),
    };
  });

  // Index of the first number beyond `x`.
  const beyond = (numbers, x) => {
    let [low, high] = [0, numbers.length];
    while (high > low) {
      const middle = (low + high) >> 1;
      if (numbers[middle] > x) high = middle; else low = middle + 1;
    }
    return low;
  };

  const value = (curve, x) => {
    const next = beyond(curve.x, x);
    const column = Math.floor(x);
    const here = [];
    for (let k = beyond(curve.x, column - 1e-9); curve.x.length > k; k += 1) {
      if (curve.x[k] >= column + 1) break;
      here.push(curve.y[k]);
    }
    if (here.length === 0) {
      // Between two samples of one line; nothing in a gap.
      if (next === 0 || next === curve.x.length || curve.starts[next]) return '–';
      const [a, b] = [next - 1, next];
      const share = (x - curve.x[a]) / (curve.x[b] - curve.x[a] || 1);
      here.push(curve.y[a] + share * (curve.y[b] - curve.y[a]));
    }
    const real = y => curve.high - y / 100 * (curve.high - curve.low);
    const [top, bottom] = [Math.min(...here), Math.max(...here)];
    return bottom - top > 1 ? short(real(bottom)) + '…' + short(real(top)) : short(real((top + bottom) / 2));
  };

  const spans = [...tracks.querySelectorAll('rect[data-key]')].map(rect => ({
    key: document.getElementById(rect.dataset.key),
    name: rect.dataset.name,
    from: Number(rect.getAttribute('x')),
    to: Number(rect.getAttribute('x')) + Number(rect.getAttribute('width')),
  }));
  const lanes = [...new Set(spans.map(span => span.key))];
  const pictures = [...tracks.querySelectorAll('.film img')];

  const show = share => {
    const x = share * 1000;
    const seconds = from + share * (to - from);
    cursor.style.left = share * 100 + '%';
    clock.textContent = seconds.toFixed(3) + ' s';
    curves = curves || read();
    curves.forEach(curve => { curve.key.textContent = value(curve, x); });
    lanes.forEach(key => { key.textContent = ''; });
    spans.filter(span => x >= span.from).filter(span => span.to >= x).forEach(span => { span.key.textContent = span.name; });
    const picture = pictures.filter(picture => seconds >= Number(picture.dataset.s)).pop();
    look.hidden = !picture;
    if (picture) look.src = picture.src;
    document.body.classList.add('looking');
  };

  let pinned = false;
  const share = event => {
    const box = tracks.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  };
  tracks.addEventListener('pointermove', event => { if (!pinned) show(share(event)); });
  tracks.addEventListener('click', event => { pinned = !pinned; cursor.classList.toggle('pinned', pinned); show(share(event)); });
  document.addEventListener('keydown', event => {
    const step = {ArrowLeft: -0.001, ArrowRight: 0.001}[event.key];
    if (!step || !cursor.style.left) return;
    event.preventDefault();
    show(Math.min(1, Math.max(0, parseFloat(cursor.style.left) / 100 + step)));
  });
})();

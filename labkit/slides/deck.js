// Starts reveal.js, makes every slide fit its frame, and switches between light and dark (key T).
(() => {
  const root = document.documentElement;
  const asked = new URLSearchParams(location.search);
  const printing = asked.has('print-pdf') || asked.get('view') === 'print';
  const prefersDark = matchMedia('(prefers-color-scheme: dark)').matches && !printing;
  root.dataset.labkitTheme = asked.get('theme') || (prefersDark ? 'dark' : 'light');

  // On paper nobody steps: every step of a walkthrough is a page, from the stills that it holds.
  const make = (name, look, ...within) => {
    const element = document.createElement(name);
    element.className = look;
    element.append(...within);
    return element;
  };
  const pages = (player) => {
    const titles = player.querySelectorAll('h4'), rows = player.querySelectorAll('tbody tr');
    return [...player.querySelectorAll('img')].map((still, step) => {
      const picture = still.cloneNode();
      picture.className = 'lk-picture';
      const told = still.parentElement.nextElementSibling.textContent;
      const body = make('div', 'lk-body',
        make('div', 'lk-words', make('h2', '', titles[step].textContent)),
        make('div', 'lk-shown', picture),
        make('div', 'lk-words', make('p', '', told)));
      const [, , call, evidence] = rows[step].cells;
      if (call.textContent) body.append(make('pre', 'lk-text', call.textContent));
      const proof = evidence.querySelector('dl')?.cloneNode(true);
      if (proof) body.append(make('div', 'lk-proof', proof));
      return make('section', 'lk-step', make('div', 'lk-frame', body));
    });
  };
  for (const player of printing ? document.querySelectorAll('.labkit-player') : []) {
    const slide = player.closest('section');
    slide.after(...pages(player));
    player.remove();
    const left = slide.querySelector('.lk-body').cloneNode(true);
    for (const silent of left.querySelectorAll('style, script')) silent.remove();
    if (!left.textContent.trim()) slide.remove();
  }

  // The heading keeps its place, the rest gets what room there is below it.
  for (const body of document.querySelectorAll('.lk-body')) {
    const rest = document.createElement('div');
    rest.className = 'lk-rest';
    const heading = body.querySelector(':scope > .lk-words:first-child > h2:first-child');
    rest.append(...body.childNodes);
    body.append(...(heading ? [heading, rest] : [rest]));
    for (const words of rest.querySelectorAll('.lk-words')) if (!words.childElementCount) words.remove();
  }

  // No word stands alone on the last line of a paragraph.
  for (const words of document.querySelectorAll('.lk-words :is(h1, h2, h3, p, li, td), .lk-body > h2, .lk-card :is(p, dd)')) {
    const end = words.lastChild?.nodeType === Node.ELEMENT_NODE && words.lastChild.matches('strong, em')
      ? words.lastChild.lastChild : words.lastChild;
    if (end?.nodeType === Node.TEXT_NODE && words.textContent.split(/\s+/).length > 5)
      end.data = end.data.replace(/\s+(\S{1,11})\s*$/, '\u00a0$1');
  }

  // A picture or a player takes the room that words leave.
  for (const picture of document.querySelectorAll('.lk-picture, .labkit-player')) {
    for (let at = picture.parentElement; !at.classList.contains('lk-rest'); at = at.parentElement)
      at.classList.add('lk-flex');
  }

  // A player takes the form in which its small print can be read from the last row.
  for (const player of document.querySelectorAll('.labkit-player'))
    for (const name of ['fit', 'slide']) player.setAttribute(`data-labkit-${name}`, '');

  // Where a picture stands alone it may have nearly the whole frame.
  for (const body of document.querySelectorAll('.lk-body'))
    body.classList.toggle('lk-wide', Boolean(body.querySelector('.lk-flex')) && !body.querySelector('h1, h2'));

  // Relative to 40 px: below the least the last row reads no more; a few words may be large, as
  // long as they leave part of the room empty.
  const LEAST = 0.6, USUAL = 1.16, MOST = 1.44, AIRY = 0.74;
  const CODE = { least: 28, share: 0.76, wide: 0.605 };  // px; of the words' size; a letter's width
  const over = (body) => {
    const frame = body.getBoundingClientRect();
    const ratio = frame.width / body.offsetWidth || 1;
    const rest = body.querySelector('.lk-rest');
    let most = Math.max(rest.scrollHeight - rest.clientHeight, rest.scrollWidth - rest.clientWidth,
      body.scrollHeight - body.clientHeight);
    for (const part of body.querySelectorAll('.lk-flex, .lk-words, .lk-code, .lk-html, .lk-card')) {
      const box = part.getBoundingClientRect();
      most = Math.max(most, (box.bottom - frame.bottom) / ratio, (box.right - frame.right) / ratio);
      if (part.scrollWidth > part.clientWidth + 1) most = Math.max(most, 2);
      if (part.matches('.lk-flex') && box.height / ratio < 300) most = Math.max(most, 2);
    }
    return most > 1;
  };
  const crowded = (body) => {
    const rest = body.querySelector('.lk-rest');
    if (!rest.childElementCount) return false;
    const ends = [...rest.children].map((part) => part.offsetTop + part.offsetHeight);
    return Math.max(...ends) - rest.firstElementChild.offsetTop > AIRY * rest.clientHeight;
  };
  // A line of code is not broken as long as letters of a readable size let it stand.
  const setCode = (body, size) => {
    for (const code of body.querySelectorAll('pre')) {
      const letters = Math.max(...code.textContent.split('\n').map((line) => line.length), 1);
      const room = code.clientWidth / (letters * CODE.wide);
      code.style.fontSize = `${Math.max(CODE.least, Math.min(CODE.share * size, room))}px`;
    }
  };
  // A step with much evidence makes a player taller than its room: it is drawn smaller then.
  const rooms = new WeakMap();
  const shrink = (player, room) => {
    rooms.set(player, room);
    const ratio = Math.min(1, room / player.offsetHeight);
    player.style.transformOrigin = 'top center';
    player.style.transform = ratio < 1 ? `scale(${ratio})` : '';
  };
  const watch = new ResizeObserver((changes) => {
    for (const { target } of changes) if (rooms.has(target)) shrink(target, rooms.get(target));
  });
  document.querySelectorAll('.labkit-player').forEach((player) => watch.observe(player));
  // A table with more rows than fit ends early, and says so.
  const trim = (body) => {
    const rows = [...body.querySelectorAll('.lk-html tbody tr')];
    const last = rows.length > 6 ? rows[0].parentElement.appendChild(rows[0].cloneNode(true)) : null;
    if (!last) return;
    let hidden = 0;
    do {
      rows[rows.length - 1 - hidden].style.display = 'none';
      hidden += 1;
      last.innerHTML = `<td colspan="99">and ${hidden} more rows, in the notebook</td>`;
    } while (over(body) && rows.length - hidden > 4);
  };
  const fit = (slide) => {
    const body = slide.querySelector('.lk-body');
    if (!body || !body.offsetWidth) return;
    const players = [...body.querySelectorAll('.labkit-player')];
    const giveRoom = () => players.forEach((player) => {
      const room = Math.floor(player.parentElement.clientHeight / players.length);
      player.style.setProperty('--labkit-height', `${room}px`);
      shrink(player, room);
    });
    const rest = body.querySelector('.lk-rest');
    rest.style.paddingTop = '';
    rest.classList.remove('lk-fixed');
    slide.classList.add('lk-measured');
    const pictured = Boolean(body.querySelector('.lk-flex'));
    // A long table ends early rather than in letters that nobody reads.
    const least = body.querySelector('.lk-html tbody tr:nth-child(9)') ? 0.9 : LEAST;
    let scale = pictured ? 1 : MOST;
    for (;; scale -= 0.04) {
      body.style.fontSize = `${40 * scale}px`;
      setCode(body, 40 * scale);
      giveRoom();
      if (scale <= least || !(over(body) || (scale > USUAL && crowded(body)))) break;
    }
    if (over(body) && !body.dataset.trimmed) {
      body.dataset.trimmed = 'true';
      trim(body);
    }
    slide.dataset.fits = String(!over(body));
    // What appears later is below what is there: that stays where it is.
    if (body.querySelector('.lk-card .fragment')) {
      rest.style.paddingTop = `${Math.max(0, rest.firstElementChild.offsetTop - rest.offsetTop)}px`;
      rest.classList.add('lk-fixed');
    }
    slide.classList.remove('lk-measured');
  };

  const typing = (event) => {
    // What the speaker's window hands on is no event, but has the number of its key.
    const path = event?.composedPath ? event.composedPath() : [document.activeElement];
    // A player takes the keys that step; letters are the deck's there as well.
    const letter = /^[a-z]$/i.test(event?.key ?? '');
    const takes = `input, textarea, select, [contenteditable]${letter ? '' : ', .labkit-player'}`;
    return path.some((each) => each instanceof Element && each.matches(takes));
  };
  const deck = new Reveal(document.querySelector('.reveal'), {
    width: 1920, height: 1080, margin: 0, minScale: 0.05, maxScale: 4, center: false,
    display: 'block', hash: true, slideNumber: 'c/t', transition: 'none',
    controlsTutorial: false, pdfSeparateFragments: false, pdfMaxPagesPerSlide: 1,
    keyboardCondition: (event) => !typing(event), plugins: [RevealNotes],
    defaultTiming: document.querySelector('[data-timing]') ? 0 : null,
  });
  // The speaker's window holds this deck twice more: its players follow, the other way too.
  const steps = new BroadcastChannel(`labkit ${location.pathname}`);
  const players = [...document.querySelectorAll('.labkit-player')];
  steps.onmessage = ({ data: [which, step] }) => {
    if (players[which]?.dataset.step === step) return;
    players[which]?.shadowRoot?.querySelectorAll('.jump')[step - 1]?.click();
  };
  const tell = new MutationObserver((changes) => {
    for (const { target } of changes) steps.postMessage([players.indexOf(target), target.dataset.step]);
  });
  players.forEach((player) => tell.observe(player, { attributes: true, attributeFilter: ['data-step'] }));
  deck.on('slidechanged', (event) => fit(event.currentSlide));
  deck.on('resize', () => fit(deck.getCurrentSlide()));
  deck.on('pdf-ready', () => {
    deck.getSlides().forEach(fit);
    root.dataset.deckReady = 'true';
  });
  deck.initialize().then(() => {
    deck.addKeyBinding({ keyCode: 84, key: 'T', description: 'Light or dark' }, () => {
      root.dataset.labkitTheme = root.dataset.labkitTheme === 'dark' ? 'light' : 'dark';
    });
    if (printing) return;
    fit(deck.getCurrentSlide());
    root.dataset.deckReady = 'true';
  });
  window.labkitDeck = deck;
})();

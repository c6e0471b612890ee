// Check a part of a page with axe-core, and compute the contrasts that axe-core does not decide: that
// of a text in an SVG, that of a list, whose options lie on it, and that of the cells of a report's
// table that a narrow page cuts off. `contrast` uses the formula of WCAG: for a text in an SVG with
// the page's background and with every filled shape under the text, for a list with each option.
async part => {
    const pixel = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
    const rgba = (colour, opacity = 1) => {
        pixel.clearRect(0, 0, 1, 1);
        pixel.fillStyle = colour;
        pixel.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = pixel.getImageData(0, 0, 1, 1).data;
        return [r, g, b, a / 255 * opacity];
    };
    const over = (top, bottom) => [0, 1, 2].map(
        n => top[n] * top[3] + bottom[n] * (1 - top[3])).concat(1);
    const luminance = colour => [.2126, .7152, .0722].reduce((sum, share, n) => {
        const value = colour[n] / 255;
        return sum + share * (value <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4);
    }, 0);
    const background = element => {
        const layers = [];
        for (let each = element; each; each = each.parentElement) {
            layers.push(rgba(getComputedStyle(each).backgroundColor));
            if (layers.at(-1)[3] === 1) break;
        }
        return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
    };
    const shapesUnder = text => {
        const box = text.getBBox(), matrix = text.getCTM();
        return [...text.ownerSVGElement.querySelectorAll('path')].filter(shape => {
            const order = shape.compareDocumentPosition(text);
            if (order & Node.DOCUMENT_POSITION_PRECEDING) return false;
            if (getComputedStyle(shape).fill === 'none') return false;
            const toShape = shape.getCTM().inverse().multiply(matrix);
            return [.1, .3, .5, .7, .9].some(share => shape.isPointInFill(new DOMPoint(
                box.x + share * box.width, box.y + box.height / 2).matrixTransform(toShape)));
        });
    };
    const ratio = (colour, below) => {
        const both = [over(colour, below), below].map(luminance);
        return (Math.max(...both) + .05) / (Math.min(...both) + .05);
    };
    const contrast = element => {
        if (element.matches('select')) return Math.min(...[...element.options].map(
            option => ratio(rgba(getComputedStyle(option).color), background(option))));
        if (!element.matches('svg text'))
            return ratio(rgba(getComputedStyle(element).color), background(element));
        const {fill, fillOpacity} = getComputedStyle(element);
        const page = background(element.ownerSVGElement);
        const shapes = shapesUnder(element).map(shape => {
            const {fill, fillOpacity} = getComputedStyle(shape);
            return over(rgba(fill, Number(fillOpacity)), page);
        });
        const colour = rgba(fill, Number(fillOpacity));
        return Math.min(...[page, ...shapes].map(below => ratio(colour, below)));
    };
    const {passes, violations, incomplete} = await axe.run(part, {elementRef: true});
    const list = rules => rules.flatMap(rule => rule.nodes.map(
        node => `${rule.id}: ${node.html.slice(0, 160)}: ${
            node.failureSummary} ${node.any.map(each => each.message)}`));
    const computed = [];
    const isComputed = node => node.element.matches('svg text, select, .scroll *');
    const undecided = incomplete.filter(rule => rule.id.startsWith('color-contrast'));
    for (const rule of undecided) {
        computed.push(...rule.nodes.filter(isComputed));
        rule.nodes = rule.nodes.filter(node => !isComputed(node));
    }
    const dark = document.querySelector('[data-jp-theme-light="false"], [theme="dark"]');
    const scheme = matchMedia('(prefers-color-scheme: dark)').matches;
    return {theme: dark || scheme ? 'dark' : 'light', passed: passes.length,
            violations: list(violations), undecided: list(undecided),
            computed: computed.map(node => [contrast(node.element), node.html])};
}
